/** The challenge: paint the smallest change that you can find, by pointer, touch or keyboard. */

import * as engine from "../engine/index.js";
import { button, el, say, select, slider, table } from "./controls.js";
import { paint } from "./pictures.js";

const COLOURS = { lighter: [1, 1, 1], darker: [-1, -1, -1], redder: [1, -0.5, -0.5], greener: [-0.5, 1, -0.5], bluer: [-0.5, -0.5, 1] };

/** {node, start(image, clean)} */
export function painting(nets, classes) {
  let image;
  let clean;
  let moved;
  let best; // by network: {painted, machine}
  let cursor = [16, 16];
  const brush = { colour: "lighter", size: 2, strength: 0.3 };
  const board = el("canvas", {
    width: 32, height: 32, class: "ex-board", tabindex: 0, role: "application",
    "aria-label": "Image to paint on. Arrow keys move the brush, space paints.",
    onpointerdown: (e) => { board.setPointerCapture(e.pointerId); dab(e); },
    onpointermove: (e) => { if (e.buttons) dab(e); },
    onkeydown: key,
  });
  const scores = el("div", { "aria-live": "polite" });

  function dab(event) {
    const box = board.getBoundingClientRect();
    cursor = [((event.clientX - box.left) / box.width) * 32, ((event.clientY - box.top) / box.height) * 32].map((v) => Math.min(31, Math.max(0, Math.floor(v))));
    stroke();
  }
  function key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) {
      cursor = cursor.map((v, i) => Math.min(31, Math.max(0, v + step[i])));
      show();
    } else stroke();
  }
  function stroke() {
    const add = COLOURS[brush.colour];
    for (let row = 0; row < 32; row++) {
      for (let column = 0; column < 32; column++) {
        if (Math.hypot(column - cursor[0], row - cursor[1]) >= brush.size) continue;
        for (let c = 0; c < 3; c++) {
          const i = 3 * (32 * row + column) + c;
          moved[i] = Math.min(image.ceiling, Math.max(0, moved[i] + brush.strength * image.ceiling * add[c] * 0.5));
        }
      }
    }
    show();
    judge();
  }
  function show() {
    const shown = Array.from(moved, (value) => value / image.ceiling);
    const at = 3 * (32 * cursor[1] + cursor[0]);
    if (document.activeElement === board) for (let c = 0; c < 3; c++) shown[at + c] = shown[at + c] > 0.5 ? 0 : 1;
    paint(board, shown);
  }
  function judge() {
    const length = engine.distance(moved, image.x);
    const rows = nets.map((net) => {
      const decision = engine.argmax(engine.logits(net, moved));
      const was = clean.get(net.name).decision;
      const record = best.get(net.name);
      if (decision !== was && length < (record.painted ?? Infinity)) record.painted = length;
      const ratio = record.painted && record.machine ? ` (${say(record.painted / record.machine, 2)} times)` : "";
      return [net.title, decision === was ? `✓ ${classes[was]}` : `✗ ${classes[decision]}`, record.painted ? say(record.painted) : "–", record.machine === undefined ? "–" : record.machine ? `${say(record.machine)}${ratio}` : "none found"];
    });
    scores.replaceChildren(table(`Your change has length ${say(length)}`, ["network", "says", "your smallest that fools it", "the machine's smallest"], rows));
  }
  async function compare() {
    for (const net of nets) {
      await new Promise((done) => setTimeout(done));
      best.get(net.name).machine = engine.critical("l2", net, image, clean.get(net.name).decision).norm || null;
    }
    judge();
  }
  function reset() {
    moved = Float64Array.from(image.x);
    show();
    judge();
  }
  const node = el("div", {},
    el("p", {}, "How small a change can you find? Paint on the image; all networks look on. The length of what you painted is counted like the attacks'."),
    el("div", { class: "ex-two" },
      el("div", {}, board, el("div", { class: "ex-controls" },
        select("Brush", Object.keys(COLOURS).map((name) => [name, name]), brush.colour, (v) => { brush.colour = v; }),
        slider("Size", { min: 1, max: 8, value: brush.size, say: (v) => `${v} pixels` }, (v) => { brush.size = v; }),
        slider("Strength", { min: 2, max: 100, value: 30, say: (v) => `${v} %` }, (v) => { brush.strength = v / 100; }),
        el("div", { class: "ex-buttons" }, button("Start over", reset), button("Show the machine's", compare)))),
      scores));
  return {
    node,
    start(given, decisions) {
      [image, clean] = [given, decisions];
      best = new Map(nets.map((net) => [net.name, {}]));
      reset();
    },
  };
}
