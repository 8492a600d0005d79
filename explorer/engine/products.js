/** Products with the hidden weights by WebAssembly, see products.wat; null where the browser has no SIMD. */

/**
 * {before(x), back(q)} for rows of weights, (H of D numbers); compiled: the bytes of products.wasm. Sums run in single
 * precision, as in bioadv.
 */
export function products(compiled, rows) {
  const [units, inputs] = [rows.length, rows[0].length];
  if (!compiled || units % 4 || inputs % 4) return null;
  let exports;
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(compiled)).exports;
  } catch {
    return null;
  }
  const bytes = 4 * inputs;
  const places = { m: 0, x: units * bytes, g: (units + 1) * bytes, h: (units + 2) * bytes };
  places.q = places.h + 4 * units;
  places.at = places.q + 4 * units;
  const pages = Math.ceil((places.at + 4 * units) / 65536);
  exports.memory.grow(pages - exports.memory.buffer.byteLength / 65536);
  const buffer = exports.memory.buffer;
  const view = (Kind, place, length) => new Kind(buffer, place, length);
  rows.forEach((row, j) => view(Float32Array, j * bytes, inputs).set(row));
  const x = view(Float32Array, places.x, inputs);
  const g = view(Float32Array, places.g, inputs);
  const h = view(Float32Array, places.h, units);
  const q = view(Float32Array, places.q, units);
  const at = view(Int32Array, places.at, units);
  return {
    rows: Array.from({ length: units }, (_, j) => view(Float32Array, j * bytes, inputs)),
    before(image) {
      x.set(image);
      exports.before(places.m, places.x, places.h, units, bytes);
      return Float64Array.from(h);
    },
    back(weights) {
      let count = 0;
      for (let j = 0; j < units; j++) {
        if (weights[j] === 0) continue;
        q[count] = weights[j];
        at[count++] = j * bytes;
      }
      for (; count % 4; count++) [q[count], at[count]] = [0, 0];
      g.fill(0);
      exports.back(places.at, places.q, places.g, count, bytes);
      return Float64Array.from(g);
    },
  };
}
