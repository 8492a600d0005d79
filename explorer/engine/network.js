/**
 * The two-layer network of bioadv.network.models: h = M x, a = ReLU(h)^n, z = V a + b, and its gradients in closed form.
 *
 * An image x is a Float64Array of D = 3072 numbers with unit L3 norm. The two products with M are all the time there is:
 * they run in WebAssembly where they can. Here are the same in plain JavaScript, rows of M four at a time.
 */

import { unpack } from "./arrays.js";
import { products } from "./products.js";

/** A network from its entry in the data; compiled: the bytes of products.wasm, without which it is several times slower. */
export function network(entry, compiled = null) {
  const [units, inputs] = entry.hidden.shape;
  const classes = entry.bias.shape[0];
  const stored = unpack(entry.hidden);
  const scale = unpack(entry.scale);
  let rows = [];
  for (let j = 0; j < units; j++) {
    const row = Float32Array.from(stored.subarray(j * inputs, (j + 1) * inputs));
    for (let i = 0; i < inputs; i++) row[i] *= scale[j];
    rows.push(row);
  }
  const { name, title, colour, marker, power, accuracy } = entry;
  const readout = Float64Array.from(unpack(entry.readout));
  const bias = unpack(entry.bias);
  const fast = products(compiled, rows);
  if (fast) rows = fast.rows; // one copy is enough
  return { name, title, colour, marker, power, accuracy, units, inputs, classes, rows, readout, bias, fast };
}

/** Latent before the activation, h = M x. */
export function before(net, x) {
  if (net.fast) return net.fast.before(x);
  const { rows, units } = net;
  const h = new Float64Array(units);
  const n = x.length;
  let j = 0;
  for (; j + 3 < units; j += 4) {
    const [a, b, c, d] = [rows[j], rows[j + 1], rows[j + 2], rows[j + 3]];
    let [p, q, r, s] = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const pixel = x[i];
      p += a[i] * pixel;
      q += b[i] * pixel;
      r += c[i] * pixel;
      s += d[i] * pixel;
    }
    h[j] = p;
    h[j + 1] = q;
    h[j + 2] = r;
    h[j + 3] = s;
  }
  for (; j < units; j++) {
    const row = rows[j];
    for (let i = 0; i < n; i++) h[j] += row[i] * x[i];
  }
  return h;
}

/** M^T q, a vector of D; rows with q = 0 cost nothing. */
export function back(net, q) {
  if (net.fast) return net.fast.back(q);
  const active = [];
  for (let j = 0; j < net.units; j++) if (q[j] !== 0) active.push(j);
  const n = net.inputs;
  const g = new Float64Array(n);
  let k = 0;
  for (; k + 3 < active.length; k += 4) {
    const [a, b, c, d] = active.slice(k, k + 4).map((j) => net.rows[j]);
    const [p, r, s, t] = active.slice(k, k + 4).map((j) => q[j]);
    for (let i = 0; i < n; i++) g[i] += p * a[i] + r * b[i] + s * c[i] + t * d[i];
  }
  for (; k < active.length; k++) {
    const [row, p] = [net.rows[active[k]], q[active[k]]];
    for (let i = 0; i < n; i++) g[i] += p * row[i];
  }
  return g;
}

/** ReLU(h)^n. */
export const activation = (h, power) => (h > 0 ? (power === 1 ? h : h ** power) : 0);

/** Derivative of ReLU(h)^n; 0 at h = 0. */
export const slope = (h, power) => (h > 0 ? (power === 1 ? 1 : power * h ** (power - 1)) : 0);

/** Logits from the latent before the activation. */
export function logitsOf(net, h) {
  const z = Float64Array.from(net.bias);
  for (let j = 0; j < net.units; j++) {
    const a = activation(h[j], net.power);
    if (a !== 0) for (let c = 0; c < net.classes; c++) z[c] += net.readout[c * net.units + j] * a;
  }
  return z;
}

/** Logits of an image. */
export const logits = (net, x) => logitsOf(net, before(net, x));

/** Probabilities from logits. */
export function softmax(z) {
  const top = Math.max(...z);
  const powers = z.map((value) => Math.exp(value - top));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

/** Index of the largest entry, the first of equal ones. */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** Largest wrong logit minus the right one; the decision is wrong where it is positive. */
export function margin(z, label) {
  let other = -Infinity;
  for (let c = 0; c < z.length; c++) if (c !== label && z[c] > other) other = z[c];
  return other - z[label];
}

/** Gradient by the pixels of cross-entropy or of the margin, {g, z}: M^T (f'(h) o V^T dL/dz). */
export function gradient(net, x, label, loss = "cross-entropy") {
  const h = before(net, x);
  const z = logitsOf(net, h);
  let atLogits;
  if (loss === "cross-entropy") {
    atLogits = softmax(z);
    atLogits[label] -= 1;
  } else {
    atLogits = new Float64Array(z.length);
    atLogits[argmax(z.map((value, c) => (c === label ? -Infinity : value)))] = 1;
    atLogits[label] = -1;
  }
  const q = h.map((value, j) => {
    const f = slope(value, net.power);
    if (f === 0) return 0;
    let sum = 0;
    for (let c = 0; c < net.classes; c++) sum += net.readout[c * net.units + j] * atLogits[c];
    return sum * f;
  });
  return { g: back(net, q), z };
}
