/** Landscapes: what a network decides on a plane through an image, and how fast its latent changes there. */

import * as engine from "../engine/index.js";
import { button, el, radios, say, select, slider, table, textTwin } from "./controls.js";
import { liveNetworks } from "./live.js";
import { canvas, showImage } from "./pictures.js";
import { number, whole } from "./state.js";

export const title = "Landscape";

const KINDS = [["random", "two random directions"], ["adversarial", "towards an adversarial example"], ["image", "towards another image"]];
const CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
// Paul Tol's muted scheme, as in bioadv/pages/plots_geometry.py: distinct to colour-blind readers, none near white.
const CLASSES = ["#332288", "#88CCEE", "#DDCC77", "#117733", "#CC6677", "#AA4499", "#44AA99", "#999933", "#882255", "#661100"];
// Viridis at even steps.
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const POINTS = 101;

export function fields({ results, networks }) {
  const stored = results ? [...new Set(results.planes.map((entry) => entry.model))] : [];
  const live = networks ? networks.networks.map((entry) => entry.name) : [];
  return {
    source: { default: stored.length ? "stored" : "live", choices: [...(stored.length ? ["stored"] : []), ...(live.length ? ["live"] : [])] },
    model: { default: "kh", choices: [...new Set([...stored, ...live])] },
    kind: { default: "random", choices: KINDS.map(([name]) => name) },
    radius: { default: "far", choices: ["near", "far"] },
    image: { default: 0, read: whole(0, 29) },
    s: { default: 0, read: number(-1, 1) },
    t: { default: 0, read: number(-1, 1) },
  };
}

const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const [classColours, viridis] = [CLASSES.map(rgb), VIRIDIS.map(rgb)];
function between(share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (viridis.length - 1);
  const [low, rest] = [Math.floor(place), place % 1];
  return viridis[low].map((value, c) => value + rest * (viridis[low + 1][c] - value));
}

export function build({ results, networks }, values, changed) {
  const nets = () => liveNetworks(networks);
  const stored = results?.planes ?? [];
  let map; // {radius, points, jacobian, classes, confidence, names, plane, net, ceiling}
  const boards = ["decision", "Jacobian"].map((what) => el("canvas", {
    class: "ex-map", tabindex: 0, role: "application", "aria-label": `Map of the ${what}. Drag the point, or move it with the arrow keys.`,
    onpointerdown: (e) => { e.currentTarget.setPointerCapture(e.pointerId); drag(e); },
    onpointermove: (e) => { if (e.buttons) drag(e); },
    onkeydown: key,
  }));
  const marks = boards.map(() => el("span", { class: "ex-point", "aria-hidden": "true" }));
  const picture = canvas("the image at the point", "ex-large");
  const here = el("div", { "aria-live": "polite" });
  const legend = el("p", { class: "ex-legend" });
  const scale = el("p", { class: "ex-note ex-scale" });
  const note = el("p", { class: "ex-note" });
  const status = el("p", { class: "ex-status", role: "status" });

  function compute() {
    map = values.source === "stored" ? storedMap() : liveMap();
    if (map) drawMaps();
    changed();
  }

  function storedMap() {
    const entry = stored.find((one) => one.model === values.model) ?? stored[0];
    const [place, kind] = [values.radius === "near" ? 0 : 1, KINDS.findIndex(([name]) => name === values.kind)];
    const part = (packed) => {
      const size = packed.shape[2] * packed.shape[3];
      return engine.unpack(packed).subarray((3 * place + kind) * size, (3 * place + kind + 1) * size);
    };
    const jacobian = Float64Array.from(engine.unpack(entry.jacobian[place][kind]), Math.exp);
    const odd = entry.source !== stored[0].source && values.kind === "random";
    note.textContent = `Stored map: CIFAR-10, 2,000 hidden units, first test image, seed ${entry.seed}. ${odd ? "This model was measured on another random plane than the others. " : ""}The images of CIFAR-10 are not part of this book, so the point has no picture here; choose the live networks to see one.`;
    return { radius: entry.radii[place], points: entry.classes.shape[2], jacobian, classes: part(entry.classes), confidence: Float64Array.from(part(entry.confidence), (level) => (16 * level + 8) / 256), names: CIFAR10 };
  }

  function liveMap() {
    const net = nets().find((one) => one.name === values.model) ?? nets()[0];
    const pixels = engine.unpack(networks.images);
    const { x, ceiling } = engine.unit(pixels.subarray(3072 * values.image, 3072 * (values.image + 1)));
    const second = engine.normal(x.length, 2);
    let first = engine.normal(x.length, 1);
    if (values.kind === "adversarial") {
      const label = engine.argmax(engine.logits(net, x));
      const found = engine.critical("l2", net, { x, ceiling }, label);
      const target = found.image ?? engine.pgdL2(net, x, label, 3, ceiling);
      first = target.map((value, i) => value - x[i]);
    }
    if (values.kind === "image") {
      const other = (values.image + 3) % networks.labels.length; // of the next class
      const target = engine.unit(pixels.subarray(3072 * other, 3072 * (other + 1))).x;
      first = target.map((value, i) => value - x[i]);
    }
    const plane = engine.plane(x, first, second);
    if (!plane) {
      status.textContent = "The attack made no progress from this image, so it gives no direction. Choose another kind of plane.";
      return null;
    }
    status.textContent = "";
    const radius = values.radius === "near" ? 0.3 * engine.distance(x) : 20;
    const label = networks.labels[values.image];
    note.textContent = `Computed in this page: 100 hidden units, a patch of “${networks.classes[label]}” (${networks.credits[label]}). Values outside 0 to full scale are cut off in the picture.`;
    return { ...engine.landscape(net, plane, radius, POINTS), radius, points: POINTS, names: networks.classes, plane, net, ceiling };
  }

  function drawMaps() {
    const { points, jacobian, classes, confidence, names } = map;
    let [low, high] = [Infinity, 0];
    for (const value of jacobian) { low = Math.min(low, value); high = Math.max(high, value); }
    const flat = high - low < 1e-4 * high;
    const background = rgb(getComputedStyle(boards[0]).getPropertyValue("--ex-map").trim() || "#ffffff");
    boards.forEach((board, which) => {
      board.width = board.height = points;
      const context = board.getContext("2d");
      const pixels = context.createImageData(points, points);
      for (let row = 0; row < points; row++) {
        for (let column = 0; column < points; column++) {
          const i = row * points + column;
          const colour = which ? between(flat ? 0.5 : (jacobian[i] - low) / (high - low)) : classColours[classes[i] % 10].map((value, c) => background[c] + confidence[i] * (value - background[c]));
          pixels.data.set([...colour, 255], 4 * ((points - 1 - row) * points + column)); // t rises upwards
        }
      }
      context.putImageData(pixels, 0, 0);
    });
    const counts = new Map();
    for (const c of classes) counts.set(c, (counts.get(c) ?? 0) + 1);
    const present = [...counts].sort((a, b) => b[1] - a[1]);
    legend.replaceChildren("Decision, the stronger the surer: ", ...present.map(([c]) => el("span", { class: "ex-key" }, el("span", { class: "ex-box", style: `background:${CLASSES[c % 10]}`, "aria-hidden": "true" }), names[c])));
    scale.replaceChildren(`Norm of the Jacobian of the latent, ‖∂a/∂x‖: ${say(low)} `, el("span", { class: "ex-ramp", "aria-hidden": "true" }), flat ? " everywhere" : ` to ${say(high)}`);
    map.present = present;
    look();
    twin.refresh();
  }

  function look() {
    const { radius, points, jacobian, classes, confidence, names, plane, net, ceiling } = map;
    const cell = (share) => Math.round(((share + 1) / 2) * (points - 1));
    const i = cell(values.t) * points + cell(values.s);
    const [s, t] = [values.s * radius, values.t * radius];
    marks.forEach((mark) => { mark.style.left = `${50 + 50 * values.s}%`; mark.style.top = `${50 - 50 * values.t}%`; });
    picture.hidden = !plane;
    let [decision, sure, norm] = [classes[i], confidence[i], jacobian[i]];
    if (plane) {
      const x = engine.at(plane, s, t);
      showImage(picture, x, ceiling);
      const chances = engine.softmax(engine.logits(net, x));
      decision = engine.argmax(chances);
      [sure, norm] = [chances[decision], engine.latentJacobian(net, x)];
    }
    here.replaceChildren(table("At the point", ["quantity", "value"], [
      ["place (s, t), L2 units", `${say(s)}, ${say(t)}`],
      ["decision", el("span", { "data-decision": "" }, names[decision])],
      ["its probability", `${plane ? "" : "about "}${say(100 * sure, 2)} %`],
      ["‖∂a/∂x‖", say(norm)],
    ]));
  }
  function move(s, t, quiet = false) {
    const kept = (value) => Number(Math.min(1, Math.max(-1, value)).toFixed(3));
    [values.s, values.t] = [kept(s), kept(t)];
    if (!quiet) { across.set(values.s); up.set(values.t); }
    look();
    changed();
  }
  function drag(event) {
    const box = event.currentTarget.getBoundingClientRect();
    move((2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height);
  }
  function key(event) {
    const step = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, 0.02], ArrowDown: [0, -0.02] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(values.s + step[0], values.t + step[1]);
  }

  const modelPlace = el("div");
  const imagePlace = el("div");
  function models() {
    const options = values.source === "stored" ? stored.map((entry) => [entry.model, results.models[entry.model].title]) : networks.networks.map((entry) => [entry.name, entry.title]);
    if (!options.some(([name]) => name === values.model)) values.model = options[0][0];
    modelPlace.replaceChildren(select("Model", options, values.model, (v) => { values.model = v; compute(); }));
    imagePlace.replaceChildren(...(values.source === "live" ? [select("Image", networks.labels.map((label, i) => [String(i), `${networks.classes[label]}, patch ${(i % 3) + 1}`]), String(values.image), (v) => { values.image = Number(v); compute(); })] : []));
  }
  const across = slider("Point, across (s)", { min: -1, max: 1, step: 0.01, value: values.s, say: (v) => say(v, 2) }, (v) => move(v, values.t, true));
  const up = slider("Point, up (t)", { min: -1, max: 1, step: 0.01, value: values.t, say: (v) => say(v, 2) }, (v) => move(values.s, v, true));
  const twin = textTwin("The map as a table", () => table("Share of the plane by decision", ["decision", "share"], map.present.map(([c, count]) => [map.names[c], `${say((100 * count) / map.classes.length)} %`])));
  const sources = fields({ results, networks }).source.choices;
  models();
  const node = el("div", {},
    el("p", {}, "A plane through an image, seen by one network: what it decides there, and how strongly its hidden layer reacts to small changes. The image is in the middle. Drag the point."),
    el("div", { class: "ex-controls" },
      radios("Networks", [["stored", "of the study, 2,000 units"], ["live", "live, 100 units"]].filter(([name]) => sources.includes(name)), values.source, (v) => { values.source = v; models(); compute(); }),
      modelPlace, imagePlace,
      select("Plane", KINDS, values.kind, (v) => { values.kind = v; compute(); }),
      select("How far", [["far", "20, the paper's radius"], ["near", "0.3 times the image's length"]], values.radius, (v) => { values.radius = v; compute(); }),
      across, up, el("div", { class: "ex-buttons" }, button("Back to the image", () => move(0, 0)))),
    status,
    el("div", { class: "ex-maps" }, boards.map((board, i) => el("div", { class: "ex-map-frame" }, board, marks[i])), el("div", {}, picture, here)),
    legend, scale, note, twin,
  );
  // The maps take colours of the page: they are drawn when they are in it, and again with another theme.
  const started = () => compute();
  return { node, started, themed: () => map && drawMaps() };
}
