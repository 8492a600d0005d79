/** Images as the networks see them: pixels divided by their own L3 norm, as bioadv.data.datasets.unit_lp does. */

/** {x, ceiling} of 3072 pixels in 0..255; ceiling: the value of a full pixel. Null for an image that is black throughout. */
export function unit(pixels) {
  let cubes = 0;
  for (const value of pixels) cubes += Math.abs(value) ** 3;
  if (!(cubes > 0)) return null;
  const length = Math.cbrt(cubes);
  return { x: Float64Array.from(pixels, (value) => value / length), ceiling: 255 / length };
}

/** L2 length of a vector, or of the difference of two. */
export function distance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - (b ? b[i] : 0)) ** 2;
  return Math.sqrt(sum);
}

/** A stream of uniform numbers in (0, 1) from a seed (mulberry32): the same seed gives the same noise to everyone. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** Independent standard normal numbers (Box and Muller). */
export function normal(count, seed) {
  const uniform = random(seed);
  return Float64Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
