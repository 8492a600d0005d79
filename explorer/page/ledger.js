/** The ledger: critical norms of all images of all models as distributions, and what each claim of the paper rests on. */

import { line as path } from "d3-shape";
import { unpack } from "../engine/index.js";
import { figure, frame } from "./chart.js";
import { button, choices, el, ink, outline, say, select, slider, table, textTwin } from "./controls.js";
import { list, number } from "./state.js";

export const title = "Critical norms and claims";

const SENTENCES = {
  noise: "Gaussian noise, first failure along the paper's grid",
  FGSM: "FGSM, as coded",
  PGD: "PGD, as coded",
  "PGD, recommended": "PGD with a margin loss and random start",
  "PGD in an L2 ball": "PGD in an L2 ball, the strongest attack here",
};

export function fields({ results }) {
  const names = [...new Set(results.norms.map((entry) => entry.model))];
  const usual = ["kh", "bp", "l2", "jreg", "specreg-logged", "random"].filter((name) => names.includes(name));
  return {
    attack: { default: "PGD", choices: Object.keys(SENTENCES) },
    models: { default: usual.length ? usual : names.slice(0, 4), read: list(names) },
    size: { default: 0.1, read: number(1e-4, 30) },
    claim: { default: "", choices: results.claims.map((claim) => claim.id) },
    verdict: { default: "all", choices: ["all", ...new Set(results.claims.map((claim) => claim.label))] },
  };
}

/** ln norms at even quantiles. */
const unpacked = new WeakMap();
function quantiles(packed) {
  if (!unpacked.has(packed)) unpacked.set(packed, unpack(packed));
  return unpacked.get(packed);
}

/** Share of all images (those that never fail count) whose critical norm is at most a size. */
function share(of, size) {
  const logs = quantiles(of);
  let count = 0;
  while (count < logs.length && logs[count] <= Math.log(size)) count++;
  return (Math.max(0, count - 1) / (logs.length - 1)) * (1 - of.without / of.images);
}

/** Share of the images that no certificate of at least this size is known for. */
const uncertain = (of, size) => share(of, size) + of.without / of.images;

const median = (of) => Math.exp(quantiles(of)[(quantiles(of).length - 1) / 2]);

export function build({ results }, values, changed) {
  const { models, norms, claims } = results;
  const names = [...new Set(norms.map((entry) => entry.model))];
  const shown = () => values.models.flatMap((name) => norms.filter((entry) => entry.model === name && entry.attacks[values.attack]).map((entry, i) => ({ ...entry, faint: i > 0, of: entry.attacks[values.attack], sure: i ? null : entry.attacks.certificate })));
  let scales;
  const main = figure("Share of the images whose decision changes, against the size of the perturbation", draw, { ratio: 0.6 });
  const numbers = el("div", { "aria-live": "polite" });

  function draw(svg, sizes) {
    const all = shown();
    const ends = all.flatMap(({ of }) => [quantiles(of)[12], quantiles(of).at(-4)]);
    const domain = ends.length ? [Math.exp(Math.min(...ends)), Math.exp(Math.max(...ends))] : [0.01, 1];
    scales = frame(svg, sizes, { domain, log: true, label: "size of the perturbation, L2 norm" }, { domain: [0, 1], label: "share of images fooled", format: (v) => say(v, 2) });
    const { x, y, plot } = scales;
    plot.selectAll("*").remove();
    for (const one of all) {
      const colour = ink(models[one.model].colour);
      const trace = (of, start = 0) => path().x((i) => x(Math.exp(quantiles(of)[i]))).y((i) => y(start + (i / (quantiles(of).length - 1)) * (1 - of.without / of.images)))([...quantiles(of).keys()]);
      if (one.sure && values.attack !== "noise") plot.append("path").attr("class", "ex-line ex-dashed").style("stroke", colour).attr("d", trace(one.sure, one.sure.without / one.sure.images));
      plot.append("path").attr("class", `ex-line ${one.faint ? "ex-faint" : ""}`).style("stroke", colour).attr("d", trace(one.of));
      if (!one.faint) {
        plot.append("path").attr("class", "ex-marker").attr("d", outline(models[one.model].marker)).style("fill", colour)
          .attr("transform", `translate(${x(median(one.of))},${y(0.5 * (1 - one.of.without / one.of.images))})`);
      }
    }
    plot.append("line").attr("class", "ex-cursor").attr("y1", y(0)).attr("y2", y(1));
    svg.on("click", (event) => {
      const at = x.invert(event.clientX - svg.node().getBoundingClientRect().left);
      if (at >= domain[0] && at <= domain[1]) { size.set(toSlider(at), say(at)); look(at); }
    });
    look(values.size);
  }

  function look(at) {
    values.size = Number(at.toPrecision(3));
    if (scales) scales.plot.select(".ex-cursor").attr("x1", scales.x(values.size)).attr("x2", scales.x(values.size));
    numbers.replaceChildren(table(`Fooled at size ${say(values.size)}, and the median`, ["model, seed", "share fooled", "median norm", "certain at this size", "accuracy", "images"],
      shown().map((one) => [`${models[one.model].title}, ${one.seed}`, `${say(100 * share(one.of, values.size))} %`, say(median(one.of)),
        one.attacks.certificate ? `${say(100 * (1 - uncertain(one.attacks.certificate, values.size)))} %` : "–", `${say(100 * one.accuracy)} %`, String(one.of.images)])));
    changed();
  }
  const toSlider = (at) => Math.round(200 * Math.log10(at));
  const size = slider("Size of the perturbation", { min: toSlider(1e-3), max: toSlider(20), value: toSlider(values.size), say: (p) => say(10 ** (p / 200)) }, (p) => look(10 ** (p / 200)));
  const renew = () => { main.redraw(); twin.refresh(); look(values.size); };
  const twin = textTwin("The curves as a table", () => table("L2 norm by share of the images", ["model, seed", "5 %", "25 %", "50 %", "75 %", "95 %", "never"],
    shown().map((one) => [`${models[one.model].title}, ${one.seed}`, ...[20, 100, 200, 300, 380].map((i) => say(Math.exp(quantiles(one.of)[i]))), String(one.of.without)])));

  // The claims: a list of buttons, and beside it what the chosen one rests on.
  const detail = el("div", { class: "ex-claim", "aria-live": "polite" });
  const items = el("ul", { class: "ex-claims" });
  function fillList() {
    items.replaceChildren(...claims.filter((claim) => values.verdict === "all" || claim.label === values.verdict).map((claim) =>
      el("li", {}, button(claim.text, () => choose(claim.id), { "aria-pressed": claim.id === values.claim ? "true" : "false", class: "ex-claim-button" }),
        el("span", { class: `verdict ${claim.label.replaceAll(" ", "-")}` }, claim.verdict))));
  }
  function choose(id) {
    values.claim = id;
    const claim = claims.find((one) => one.id === id);
    for (const pressed of items.querySelectorAll("button")) pressed.setAttribute("aria-pressed", String(pressed.textContent === claim?.text));
    detail.replaceChildren(...(claim ? evidence(claim) : [el("p", {}, "Choose a claim to see what it rests on.")]));
    changed();
  }
  function evidence(claim) {
    const rows = Object.entries(claim.values);
    const rule = {
      close: () => `The mean over seeds should lie within ${say(claim.tolerance)} of the paper's ${say(claim.value, 4)}.`,
      order: () => "In every seed, the statistic should fall from each model to the next in this list.",
      "at least": () => `Every seed should be at least ${say(claim.value)}.`,
      "at most": () => `Every seed should be at most ${say(claim.value)}.`,
      untestable: () => "Nothing that is stored here can decide it.",
    }[claim.rule]();
    const attack = { "critical norm, noise": "noise", "critical norm, FGSM": "FGSM", "critical norm, PGD": "PGD" }[claim.statistics[0]];
    return [
      el("h4", {}, claim.text),
      el("p", {}, el("span", { class: `verdict ${claim.label.replaceAll(" ", "-")}` }, claim.verdict), ` Where: ${claim.where}. ${rule} ${claim.why}`),
      ...(rows.length ? [dots(claim, rows).node, table("Measured, by seed", ["statistic, model", "values", "mean"], rows.map(([name, column]) => [name, column.map((v) => say(v, 4)).join(", "), say(column.reduce((a, b) => a + b, 0) / column.length, 4)]))] : []),
      el("p", {},
        attack ? button("Show these models in the distributions above", () => { location.hash = `#ledger?attack=${attack}&models=${claim.models.join(",")}&claim=${claim.id}`; }) : null,
        " ", el("a", { href: claim.link }, "The figure in its chapter")),
    ];
  }
  function dots(claim, rows) {
    const spread = [...rows.flatMap(([, column]) => column), ...(claim.value == null ? [] : [claim.value - (claim.tolerance ?? 0), claim.value + (claim.tolerance ?? 0)])];
    const [low, high] = [Math.min(...spread), Math.max(...spread)];
    const room = 0.08 * (high - low || Math.abs(high) || 1);
    return figure(`Measured values of: ${claim.text}`, (svg, sizes) => {
      const { x, y, plot } = frame(svg, sizes, { domain: [low - room, high + room], label: claim.statistics.join(", ") }, { domain: [rows.length - 0.4, -0.6], label: "", ticks: 0 }, { left: 20 });
      plot.selectAll("*").remove();
      if (claim.value != null) {
        if (claim.tolerance) plot.append("rect").attr("class", "ex-shade").attr("x", x(claim.value - claim.tolerance)).attr("width", x(claim.value + claim.tolerance) - x(claim.value - claim.tolerance)).attr("y", y.range()[1]).attr("height", y.range()[0] - y.range()[1]);
        plot.append("line").attr("class", "ex-cursor").attr("x1", x(claim.value)).attr("x2", x(claim.value)).attr("y1", y.range()[0]).attr("y2", y.range()[1]);
      }
      rows.forEach(([name, column], row) => {
        const known = models[claim.models.find((model) => name.endsWith(`, ${model}`))] ?? { colour: "#8A8A8A", marker: "o", title: name };
        for (const value of column) plot.append("path").attr("class", "ex-marker").attr("d", outline(known.marker)).style("fill", ink(known.colour)).attr("transform", `translate(${x(value)},${y(row)})`);
        const end = x(column[0]) > sizes.width / 2;
        plot.append("text").attr("x", x(end ? Math.min(...column) : Math.max(...column)) + (end ? -10 : 10)).attr("y", y(row) + 4).attr("text-anchor", end ? "end" : "start").text(known.title);
      });
    }, { ratio: 0, low: 70 + 34 * rows.length, high: 70 + 34 * rows.length });
  }
  fillList();
  const node = el("div", {},
    el("p", {}, "How large must a perturbation be to change a decision? Every curve is one model on the CIFAR-10 test images that it decides correctly. Further right is more robust. Click into the drawing, or move the slider, to read the numbers at a size."),
    el("div", { class: "ex-controls" },
      choices("Models", names.map((name) => [name, models[name].title, models[name].colour, models[name].marker]), values.models, (chosen) => { values.models = chosen; renew(); }),
      select("Attack", Object.entries(SENTENCES), values.attack, (v) => { values.attack = v; renew(); }), size),
    main.node,
    el("p", { class: "ex-note" }, "One line per seed, the first one strong, a marker at its median. Dashed: the share of images for which no certificate of this size is known (first seed); the true curve lies between the attack and the certificate."),
    numbers, twin,
    el("h3", {}, "Claims"),
    el("p", {}, "The claims of the paper, as this book words them, with the verdict that a rule computes. Choose one to see the data."),
    select("Verdict", fields({ results }).verdict.choices.map((v) => [v, v === "all" ? "all verdicts" : v]), values.verdict, (v) => { values.verdict = v; fillList(); changed(); }),
    el("div", { class: "ex-two" }, items, detail),
  );
  choose(values.claim);
  return { node };
}
