/**
 * Attacks and critical strengths, as bioadv.measure.attacks and bioadv.measure.critical have them.
 *
 * Noise, FGSM and PGD are those of the paper's public code: pixels are clamped to 0..1, at the end, and a decision that
 * is attacked is the network's own. PGD in an L2 ball climbs the margin, keeps pixels possible, and returns its best.
 */

import { distance, normal } from "./images.js";
import { argmax, before, gradient, logits, logitsOf, margin } from "./network.js";

const logspace = (low, high, count) =>
  Float64Array.from({ length: count }, (_, i) => 10 ** (low + ((high - low) * i) / (count - 1)));

/** Strengths by attack: the public code's grids of 400, and ours for the L2 ball. */
export const GRIDS = {
  noise: logspace(-6, Math.log(2.5), 400),
  fgsm: logspace(-6, -1.5, 400),
  pgd: logspace(-6, -1.5, 400),
  l2: logspace(-4, 0.5, 400),
};

const sign = (value) => (value > 0 ? 1 : value < 0 ? -1 : 0);
const clamp = (value, low, high) => (value < low ? low : value > high ? high : value);

/** x + eps u with u standard normal, not clamped. */
export function noise(x, eps, seed) {
  const u = normal(x.length, seed);
  return x.map((value, i) => value + eps * u[i]);
}

/** x + eps sign(gradient of cross-entropy), clamped to 0..1. */
export function fgsm(net, x, label, eps, g = gradient(net, x, label).g) {
  return x.map((value, i) => clamp(value + eps * sign(g[i]), 0, 1));
}

/** The published PGD: 20 steps of 0.1 eps (of 0.01 where eps is 0.01 or more) in the L-infinity ball, clamped at the end. */
export function pgd(net, x, label, eps, steps = 20) {
  const step = eps < 1e-2 ? 0.1 * eps : 1e-2;
  const moved = new Float64Array(x.length);
  const now = Float64Array.from(x);
  for (let t = 0; t < steps; t++) {
    const { g } = gradient(net, now, label);
    for (let i = 0; i < x.length; i++) {
      moved[i] = clamp(moved[i] + step * sign(g[i]), -eps, eps);
      now[i] = x[i] + moved[i];
    }
  }
  return now.map((value) => clamp(value, 0, 1));
}

/** Steps of PGD in an L2 ball, each this part of eps. */
export const L2 = { steps: 20, step: 0.125 };

/** PGD in an L2 ball: margin loss, no random start, pixels kept in 0..ceiling; the first iterate that is decided wrongly. */
export function pgdL2(net, x, label, eps, ceiling, { steps, step } = L2) {
  let now = Float64Array.from(x);
  let best = now;
  let reached = -Infinity;
  for (let t = 0; t <= steps; t++) {
    const last = t === steps;
    const { g, z } = last ? { z: logits(net, now) } : gradient(net, now, label, "margin");
    const value = margin(z, label);
    if (value > reached) [best, reached] = [Float64Array.from(now), value];
    if (last || reached > 0) break; // one that is wrong is enough
    const uphill = (step * eps) / Math.max(distance(g), 1e-300);
    let square = 0;
    for (let i = 0; i < x.length; i++) {
      g[i] = now[i] - x[i] + uphill * g[i];
      square += g[i] * g[i];
    }
    const shrink = Math.min(1, eps / Math.max(Math.sqrt(square), 1e-300));
    for (let i = 0; i < x.length; i++) now[i] = clamp(x[i] + shrink * g[i], 0, ceiling);
  }
  return best;
}

/**
 * An attack on one image as a function of the strength. kind: noise, fgsm, pgd or l2; label: the decision to change;
 * image: {x, ceiling}; seed: of the noise. What does not depend on the strength is computed once.
 */
export function attack(kind, net, image, label, seed = 0) {
  const { x, ceiling } = image;
  if (kind === "noise") {
    const u = normal(x.length, seed);
    return (eps) => x.map((value, i) => value + eps * u[i]);
  }
  if (kind === "fgsm") {
    const { g } = gradient(net, x, label);
    return (eps) => fgsm(net, x, label, eps, g);
  }
  if (kind === "pgd") return (eps) => pgd(net, x, label, eps);
  return (eps) => pgdL2(net, x, label, eps, ceiling);
}

/** Grid index at which a linear network would fail: margin over the dual norm of the margin's gradient. */
export function guess(net, x, label, grid, norm) {
  const { g, z } = gradient(net, x, label, "margin");
  const dual = norm === "l2" ? distance(g) : g.reduce((sum, value) => sum + Math.abs(value), 0);
  const linear = -margin(z, label) / Math.max(dual, 1e-30);
  let index = 0;
  while (index < grid.length - 1 && grid[index] < linear) index++;
  return index;
}

/**
 * The smallest strength on a grid that changes the decision: from a guess outwards in doubling steps until one passes and a
 * larger one fails, then by bisection, then two probes below, since failing is not always monotone.
 * Returns {index, eps, norm, image, trace}; index is the grid's length, and eps infinite, where nothing fails.
 */
export function critical(kind, net, image, label, seed = 0) {
  const grid = GRIDS[kind];
  if (kind === "noise") return firstNoise(net, image.x, label, grid, seed);
  const at = attack(kind, net, image, label, seed);
  const known = new Map(); // grid index -> {fails, norm}
  const trace = [];
  const images = new Map();
  const near = guess(net, image.x, label, grid, kind);
  let width = 1;
  for (;;) {
    const index = next(known, near, width, grid.length);
    if (index < 0) break;
    const moved = at(grid[index]);
    const fails = argmax(logits(net, moved)) !== label;
    known.set(index, fails);
    if (fails) images.set(index, moved);
    trace.push({ index, eps: grid[index], fails });
    width *= 2;
  }
  const failing = [...images.keys()];
  if (!failing.length) return { index: grid.length, eps: Infinity, norm: NaN, image: null, trace };
  const index = Math.min(...failing);
  const found = images.get(index);
  return { index, eps: grid[index], norm: distance(found, image.x), image: found, trace };
}

/** The next grid index to try, -1 when the search is over; as bioadv.measure.critical._next_points. */
function next(known, near, width, points) {
  let high = points;
  let low = -1;
  for (const [index, fails] of known) if (fails && index < high) high = index;
  for (const [index, fails] of known) if (!fails && index < high && index > low) low = index;
  if (high - low > 1) {
    if (low < 0 && high === points) return near;
    const middle = (low + high) >> 1;
    if (low < 0) return Math.max(middle, high - width);
    if (high === points) return Math.min(middle, low + width);
    return middle;
  }
  for (const distance of [2, 4]) {
    if (high < points && high >= distance && !known.has(high - distance)) return high - distance;
  }
  return -1;
}

/** Unclamped noise moves the latent along a line, so every strength of the grid can be tried on one draw. */
function firstNoise(net, x, label, grid, seed) {
  const u = normal(x.length, seed);
  const [h, along] = [before(net, x), before(net, u)];
  for (let index = 0; index < grid.length; index++) {
    const eps = grid[index];
    const z = logitsOf(net, h.map((value, j) => value + eps * along[j]));
    if (argmax(z) !== label) {
      const found = x.map((value, i) => value + eps * u[i]);
      return { index, eps, norm: distance(found, x), image: found, trace: [{ index, eps, fails: true }] };
    }
  }
  return { index: grid.length, eps: Infinity, norm: NaN, image: null, trace: [] };
}
