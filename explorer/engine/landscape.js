/** Planes through input space, as bioadv.measure.landscapes: three products with M, then work per latent only. */

import { distance } from "./images.js";
import { activation, before, slope, softmax } from "./network.js";

/** The plane origin + s u + t v, u and v orthonormal; null if the two directions span none. */
export function plane(origin, first, second) {
  const length = distance(first);
  if (!(length > 0)) return null;
  const u = first.map((value) => value / length);
  const dot = second.reduce((sum, value, i) => sum + value * u[i], 0);
  const rest = second.map((value, i) => value - dot * u[i]);
  const left = distance(rest);
  if (!(left > 1e-6 * distance(second))) return null;
  return { origin, u, v: rest.map((value) => value / left) };
}

/** The image at a place of the plane. */
export const at = ({ origin, u, v }, s, t) => origin.map((value, i) => value + s * u[i] + t * v[i]);

/** Maps of points x points: {coordinates, jacobian, classes, confidence}; t along rows, s along columns, both rising. */
export function landscape(net, of, radius, points) {
  const [origin, u, v] = [of.origin, of.u, of.v].map((x) => before(net, x));
  const squares = net.rows.map((row) => row.reduce((sum, value) => sum + value * value, 0));
  const coordinates = Float64Array.from({ length: points }, (_, i) => -radius + (2 * radius * i) / (points - 1));
  const size = points * points;
  const [jacobian, confidence, classes] = [new Float64Array(size), new Float64Array(size), new Uint8Array(size)];
  const { units, power, readout, bias } = net;
  const z = new Float64Array(net.classes);
  for (let row = 0; row < points; row++) {
    for (let column = 0; column < points; column++) {
      const [s, t] = [coordinates[column], coordinates[row]];
      let sum = 0;
      z.set(bias);
      for (let j = 0; j < units; j++) {
        const h = origin[j] + s * u[j] + t * v[j];
        if (h <= 0) continue;
        const f = slope(h, power);
        const a = power === 1 ? h : (f * h) / power;
        sum += f * f * squares[j];
        for (let c = 0; c < z.length; c++) z[c] += readout[c * units + j] * a;
      }
      const index = row * points + column;
      const chances = softmax(z);
      let best = 0;
      for (let c = 1; c < z.length; c++) if (z[c] > z[best]) best = c;
      jacobian[index] = Math.sqrt(sum);
      classes[index] = best;
      confidence[index] = chances[best];
    }
  }
  return { coordinates, jacobian, classes, confidence };
}

/** ||da/dx|| at one image. */
export function latentJacobian(net, x) {
  const h = before(net, x);
  let sum = 0;
  net.rows.forEach((row, j) => {
    const f = slope(h[j], net.power);
    if (f) sum += f * f * row.reduce((total, value) => total + value * value, 0);
  });
  return Math.sqrt(sum);
}

/** The units that answer most to an image: [{unit, h, a}], the largest first. */
export function strongest(net, x, count) {
  const h = Array.from(before(net, x), (value, unit) => ({ unit, h: value, a: activation(value, net.power) }));
  return h.sort((one, other) => other.h - one.h).slice(0, count);
}
