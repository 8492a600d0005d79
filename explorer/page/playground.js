/** The playground: six small networks that run here, attacks on images of the book or one's own, and painting by hand. */

import * as engine from "../engine/index.js";
import { button, el, ink, radios, say, select, slider, swatch, table, textTwin } from "./controls.js";
import { liveNetworks } from "./live.js";
import { painting } from "./painting.js";
import { canvas, readFile, showImage, showSigned } from "./pictures.js";
import { trace } from "./trace.js";
import { number, whole } from "./state.js";

export const title = "Playground";

export const ATTACKS = {
  noise: "noise: every pixel at random",
  fgsm: "FGSM: one step along the gradient's signs",
  pgd: "PGD: twenty steps, as coded",
  l2: "PGD in an L2 ball, towards the nearest class",
};
const STRENGTH = { noise: 0.05, fgsm: 0.005, pgd: 0.005, l2: 0.2 };

export function fields({ networks }) {
  return {
    image: { default: 0, read: whole(0, networks.labels.length - 1) },
    attack: { default: "l2", choices: Object.keys(ATTACKS) },
    eps: { default: "", read: number(1e-6, 10) },
    draw: { default: 1, read: whole(1, 9999) },
    units: { default: "kh", choices: networks.networks.map((entry) => entry.name) },
  };
}

let own = null; // {pixels, name, notes}: the reader's image, which stays when the view is left

export function build(data, values, changed) {
  const { networks } = data;
  const nets = liveNetworks(networks);
  const { classes } = networks;
  const pixels = engine.unpack(networks.images);
  const grid = () => engine.GRIDS[values.attack];
  const strength = () => Number(values.eps) || STRENGTH[values.attack];
  let image; // {x, ceiling}
  let clean; // per network {probabilities, decision}
  let busy = 0;

  const status = el("p", { class: "ex-status", role: "status" });
  const cards = new Map(nets.map((net) => [net.name, card(net, classes)]));
  const found = el("div", { "aria-live": "polite" });
  const tries = trace(nets);
  const units = el("div", { class: "ex-units" });

  function choose() {
    image = engine.unit(own && values.image === "own" ? own.pixels : pixels.subarray(3072 * values.image, 3072 * (values.image + 1)));
    clean = new Map(nets.map((net) => {
      const probabilities = engine.softmax(engine.logits(net, image.x));
      return [net.name, { probabilities, decision: engine.argmax(probabilities) }];
    }));
    const label = values.image === "own" ? null : networks.labels[values.image];
    truth.textContent = label === null
      ? `Your image “${own.name}”${own.notes.length ? `: ${own.notes.join("; ")}` : ""}. It stays in this page. The networks know only the ten photographs, so they will call it one of those.`
      : `A patch of the photograph “${classes[label]}” (${networks.credits[label]}), from a part that no network was trained on.`;
    found.replaceChildren();
    tries.clear();
    challenge.start(image, clean);
    attackAll();
  }

  /** Each network attacked at the chosen strength; what changes is drawn. */
  function attackAll() {
    const eps = strength();
    for (const net of nets) {
      const before = clean.get(net.name);
      const moved = engine.attack(values.attack, net, image, before.decision, values.draw)(eps);
      cards.get(net.name).show(image, moved, before, engine.softmax(engine.logits(net, moved)));
    }
    showUnits();
    twin.refresh();
    changed();
  }

  /** The smallest strength for every network, one after the other so that the page stays alive. */
  async function smallest() {
    const turn = ++busy;
    const rows = [];
    tries.clear();
    for (const net of nets) {
      status.textContent = `Looking for the smallest change for ${net.title} …`;
      await new Promise((done) => setTimeout(done));
      if (turn !== busy) return; // something else was chosen meanwhile
      const result = engine.critical(values.attack, net, image, clean.get(net.name).decision, values.draw);
      tries.add(net, result);
      if (result.image) cards.get(net.name).show(image, result.image, clean.get(net.name), engine.softmax(engine.logits(net, result.image)));
      rows.push({ net, result });
    }
    status.textContent = "Each card now shows the smallest change that was found.";
    rows.sort((a, b) => (b.result.norm || Infinity) - (a.result.norm || Infinity));
    found.replaceChildren(table("The smallest change that was found, the most robust network first", ["network", "L2 length", "strength ε", "strengths tried"],
      rows.map(({ net, result }) => [net.title, el("span", { "data-norm": net.name }, result.image ? say(result.norm) : "not on this scale"), say(result.eps), String(result.trace.length)])));
    tries.draw();
  }

  function showUnits() {
    const net = nets.find((one) => one.name === values.units);
    const moved = cards.get(net.name).moved;
    const after = engine.before(net, moved);
    const top = engine.strongest(net, image.x, 8);
    const largest = Math.max(...top.map((one) => one.h), 1e-12);
    units.replaceChildren(...top.map(({ unit, h }) => {
      const picture = canvas(`weights of unit ${unit}`);
      showSigned(picture, net.rows[unit]);
      const bar = (value, text) => el("span", { class: "ex-bar", "aria-hidden": "true" }, el("span", { class: text, style: `width:${Math.max(0, Math.min(100, (100 * value) / largest))}%` }));
      return el("figure", { class: "ex-unit" }, picture, el("figcaption", {}, `unit ${unit}: ${say(h)}, attacked ${say(after[unit])}`, bar(h, "ex-before"), bar(after[unit], "ex-after")));
    }));
  }

  // Controls.
  const thumbnails = networks.labels.map((label, i) => {
    const picture = canvas("", "ex-thumbnail");
    picture.setAttribute("aria-hidden", "true");
    showImage(picture, pixels.subarray(3072 * i, 3072 * (i + 1)), 255);
    return [String(i), el("span", {}, picture, el("span", { class: "ex-hidden" }, `${classes[label]}, patch ${(i % 3) + 1}`))];
  });
  const images = radios("An image", thumbnails, String(values.image), (v) => { busy++; values.image = Number(v); choose(); }, "ex-thumbnails");
  const truth = el("p", { class: "ex-note" });
  const complaint = el("p", { class: "ex-problem", role: "alert", hidden: true });
  const input = el("input", { type: "file", accept: "image/*", id: "ex-own", onchange: () => take(input.files[0]) });
  const drop = el("div", { class: "ex-drop", ondragover: (e) => { e.preventDefault(); drop.classList.add("ex-over"); }, ondragleave: () => drop.classList.remove("ex-over"), ondrop: (e) => { e.preventDefault(); drop.classList.remove("ex-over"); take(e.dataTransfer.files[0]); } },
    el("label", { for: "ex-own" }, "Or one of your own (choose a file, or drop it here)"), input);
  async function take(file) {
    if (!file) return;
    complaint.hidden = true;
    try {
      own = { ...(await readFile(file)), name: file.name };
    } catch (error) {
      complaint.textContent = error.message;
      complaint.hidden = false;
      return;
    }
    busy++;
    values.image = "own";
    for (const box of images.querySelectorAll("input")) box.checked = false;
    choose();
  }
  const position = () => grid().findIndex((eps) => eps >= strength() * 0.999);
  const makeSlider = () => slider("Strength ε", { min: 0, max: grid().length - 1, value: Math.max(0, position()), say: (i) => say(grid()[i]) }, (i) => { busy++; status.textContent = ""; values.eps = Number(grid()[i].toPrecision(4)); attackAll(); });
  const sliderPlace = el("div", { class: "ex-wide" }, makeSlider());
  const redraw = button("Draw other noise", () => { values.draw = (values.draw % 9999) + 1; attackAll(); });
  redraw.hidden = values.attack !== "noise";
  const attacks = select("Attack", Object.entries(ATTACKS), values.attack, (v) => {
    busy++;
    values.attack = v;
    values.eps = "";
    status.textContent = "";
    redraw.hidden = v !== "noise";
    sliderPlace.replaceChildren(makeSlider());
    found.replaceChildren();
    tries.clear();
    attackAll();
  });
  const twin = textTwin("Decisions and probabilities as a table", () => table("Decisions, and their probability", ["network", "image", "attacked", "L2 length of the change"],
    nets.map((net) => { const one = cards.get(net.name); return [net.title, one.words[0], one.words[1], say(one.length)]; })));
  const challenge = painting(nets, classes);

  const node = el("div", {},
    el("p", {}, "Six networks of a hundred units each, trained on patches of ten photographs, run in this page. They differ in how their first layer came about and in the power of its activation: " + nets.map((net) => `${net.title.replace(/, q = .*/, "")} ${net.power}`).join(", ") + ". Choose an image, disturb it, and see who changes its mind. Every attack knows the network that it attacks, so each card shows another perturbation."),
    images, drop, complaint, truth,
    el("div", { class: "ex-controls" }, attacks, sliderPlace, el("div", { class: "ex-buttons" }, button("Find the smallest", smallest, { class: "ex-primary" }), redraw)),
    status, found, tries.node,
    el("p", { class: "ex-note" }, "Bars: the probabilities that each network gives to the disturbed image; ticks: to the untouched one. On the right what was added, magnified around grey by the factor below it."),
    el("div", { class: "ex-cards" }, [...cards.values()].map((one) => one.node)),
    twin,
    el("h3", {}, "What a network sees in its units"),
    el("p", { class: "ex-note" }, "The weights of the units that answer most to the image, and how much: before the attack (upper bar) and after it. Grey is zero."),
    select("Network", nets.map((net) => [net.name, net.title]), values.units, (v) => { values.units = v; showUnits(); changed(); }),
    units,
    el("h3", {}, "By hand"), challenge.node,
  );
  if (values.image === "own" && !own) values.image = 0;
  choose();
  return { node };
}

/** A network's card: the attacked image, the perturbation magnified, and probabilities before and after. */
function card(net, classes) {
  const pictures = [canvas(`the image as ${net.title} gets it`), canvas(`what was added for ${net.title}, magnified`)];
  const verdict = el("p", { class: "ex-decision" });
  const bars = classes.map((name) => {
    const [was, now] = [el("span", { class: "ex-was" }), el("span", { class: "ex-now" })];
    now.style.background = ink(net.colour);
    return { was, now, node: el("li", {}, el("span", { class: "ex-class" }, name), el("span", { class: "ex-track" }, was, now)) };
  });
  const magnified = el("figcaption", {});
  const node = el("section", { class: "ex-card", "aria-label": net.title },
    el("h3", {}, swatch(net.colour, net.marker), net.title),
    el("div", { class: "ex-pair" }, el("figure", {}, pictures[0], el("figcaption", {}, "attacked")), el("figure", {}, pictures[1], magnified)),
    verdict,
    el("ul", { class: "ex-bars", "aria-hidden": "true" }, bars.map((bar) => bar.node)));
  const self = {
    node,
    moved: null,
    words: ["", ""],
    length: 0,
    show(image, moved, before, after) {
      const change = moved.map((value, i) => value - image.x[i]);
      const decision = engine.argmax(after);
      self.moved = moved;
      self.length = engine.distance(change);
      self.words = [[before.decision, before.probabilities], [decision, after]].map(([c, p]) => `${classes[c]}, ${Math.round(100 * p[c])} %`);
      showImage(pictures[0], moved, image.ceiling);
      const factor = showSigned(pictures[1], change, image.ceiling);
      magnified.textContent = factor ? `× ${say(factor, 2)}` : "nothing";
      const fooled = decision !== before.decision;
      node.classList.toggle("ex-fooled", fooled);
      verdict.textContent = `${fooled ? `✗ now ${classes[decision]}, was ${classes[before.decision]}` : `✓ still ${classes[decision]}`}; length ${say(self.length)}`;
      bars.forEach((bar, c) => {
        bar.was.style.width = `${100 * before.probabilities[c]}%`;
        bar.now.style.width = `${100 * after[c]}%`;
      });
    },
  };
  return self;
}
