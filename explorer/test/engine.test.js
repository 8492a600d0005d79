import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled } from "../build.js";
import * as engine from "../engine/index.js";
import { format, list, parse, settle, whole } from "../page/state.js";

const { powerlaw } = engine;

/** A network of random weights, with or without the fast products. */
function toy(power = 1, fast = null, units = 12, inputs = 3072, classes = 4) {
  const values = (count, seed, size) => Float32Array.from(engine.normal(count, seed), (value) => size * value);
  const rows = Array.from({ length: units }, (_, j) => values(inputs, 10 + j, 0.02));
  const net = { power, units, inputs, classes, rows, readout: values(units * classes, 1, 1), bias: values(classes, 2, 0.1), fast };
  return net;
}
const image = () => engine.unit(Float64Array.from(engine.normal(3072, 5), (value) => Math.abs(value) * 40));

test("products in WebAssembly are those in JavaScript", async () => {
  const { products } = await import("../engine/products.js");
  const bytes = await compiled();
  const plain = toy();
  const fast = { ...plain, fast: products(bytes, plain.rows) };
  assert.ok(fast.fast);
  const { x } = image();
  const [h, again] = [engine.before(plain, x), engine.before(fast, x)];
  h.forEach((value, j) => assert.ok(Math.abs(value - again[j]) < 1e-5 * (1 + Math.abs(value))));
  const q = h.map((value, j) => (j % 3 ? value : 0));
  const [g, same] = [engine.back(plain, q), engine.back(fast, q)];
  g.forEach((value, i) => assert.ok(Math.abs(value - same[i]) < 1e-5));
  assert.equal(products(null, plain.rows), null);
  assert.equal(products(bytes, plain.rows.slice(0, 3)), null); // not a multiple of four: plain JavaScript does it
});

test("gradients are differences of losses", () => {
  for (const power of [1, 4.5]) {
    const net = toy(power);
    const { x } = image();
    for (const loss of ["cross-entropy", "margin"]) {
      const value = (at) => {
        const z = engine.logits(net, at);
        return loss === "margin" ? engine.margin(z, 1) : -Math.log(engine.softmax(z)[1]);
      };
      const { g } = engine.gradient(net, x, 1, loss);
      for (const i of [0, 1000, 3071]) {
        const step = 1e-5;
        const numeric = (value(x.with(i, x[i] + step)) - value(x.with(i, x[i] - step))) / (2 * step);
        assert.ok(Math.abs(numeric - g[i]) < 1e-4 * Math.max(1, Math.abs(g[i])), `${loss} ${power} ${numeric} ${g[i]}`);
      }
    }
  }
});

test("the smallest strength changes the decision, and the next smaller one does not", () => {
  const net = toy(4.5);
  const given = image();
  const label = engine.argmax(engine.logits(net, given.x));
  for (const kind of ["noise", "fgsm", "pgd", "l2"]) {
    const found = engine.critical(kind, net, given, label, 3);
    if (!found.image) continue;
    const at = engine.attack(kind, net, given, label, 3);
    const decides = (eps) => engine.argmax(engine.logits(net, at(eps)));
    assert.notEqual(decides(found.eps), label);
    if (found.index) assert.equal(decides(engine.GRIDS[kind][found.index - 1]), label);
    assert.ok(kind !== "l2" || found.norm <= found.eps * (1 + 1e-9));
  }
});

test("a power law is recovered over any window", () => {
  const spectrum = powerlaw.prepare(Float64Array.from({ length: 500 }, (_, i) => 2 - 1.7 * Math.log(i + 1)));
  for (const [first, last] of [[1, 500], [11, 100], [498, 500]]) {
    const fitted = powerlaw.fit(spectrum, first, last);
    assert.ok(Math.abs(fitted.alpha - 1.7) < 1e-8 && Math.abs(fitted.logScale - 2) < 1e-6);
  }
  assert.equal(powerlaw.fit(spectrum, 499, 500), null);
  assert.equal(powerlaw.reach(spectrum, powerlaw.fit(spectrum, 11, 100)), 500);
  assert.equal(powerlaw.fit(spectrum, 400, 3000).last, 500); // ends where the spectrum does
});

test("half precision is read bit by bit", () => {
  const bits = Uint16Array.of(0x0000, 0x3c00, 0xbc00, 0x0001, 0x8001, 0x7bff, 0x3555);
  assert.deepEqual([...engine.fromHalf(bits)], [0, 1, -1, 2 ** -24, -(2 ** -24), 65504, 0.333251953125]);
});

test("the address says what was chosen, and what it says wrongly is told", () => {
  const fields = { models: { default: ["a"], read: list(["a", "b"]) }, first: { default: 11, read: whole(1, 20) }, on: { default: "x", choices: ["x", "y"] } };
  const values = { models: ["a", "b"], first: 12, on: "x" };
  const defaults = { models: ["a"], first: 11, on: "x" };
  const hash = format("spectra", values, defaults);
  assert.equal(hash, "#spectra?models=a,b&first=12");
  assert.deepEqual(settle(parse(hash).values, fields), [values, []]);
  const [kept, complaints] = settle(parse("#spectra?models=a,q&first=99&on=z&what=1").values, fields);
  assert.deepEqual(kept, defaults);
  assert.equal(complaints.length, 4);
  assert.deepEqual(parse("#%E0%A4%A"), { view: "%E0%A4%A", values: {} }); // a damaged address is no view either
});
