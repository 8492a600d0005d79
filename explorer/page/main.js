/**
 * Starts the explorer in the element #bioadv-explorer: checks the data, shows one of four views, keeps its state in the address.
 * If something is missing, a sentence says so and the static figure of the page stays.
 */

import * as engine from "../engine/index.js";
import { load } from "./data.js";
import { el } from "./controls.js";
import * as landscape from "./landscape.js";
import * as ledger from "./ledger.js";
import { liveNetworks } from "./live.js";
import * as playground from "./playground.js";
import * as spectra from "./spectra.js";
import { format, parse, settle } from "./state.js";

export { engine, liveNetworks };

const VIEWS = { spectra, playground, landscape, ledger };
const NEEDS = { spectra: ["results"], playground: ["networks"], landscape: [], ledger: ["results"] };

let root;
let data;
let current = { name: null, values: null, defaults: null, view: null };
let writing = null;
const tabs = {};
const message = el("div", { class: "ex-problem", role: "alert", hidden: true });
const panel = el("div", { class: "ex-panel" });

function tell(sentences) {
  message.hidden = !sentences.length;
  message.replaceChildren(...sentences.map((text) => el("p", {}, text)));
}

const usable = (name) => NEEDS[name].every((file) => data[file]) && (name !== "landscape" || data.results || data.networks);

/** Show what an address says; what it says wrongly is told, and left out. */
function show(hash) {
  const { view, values: given } = parse(hash);
  const first = Object.keys(VIEWS).find(usable);
  const sentences = [...data.problems];
  let name = view;
  if (!(name in VIEWS)) {
    if (name) sentences.push(`There is no view “${name}” here. The views are ${Object.keys(VIEWS).join(", ")}; this is the first of them.`);
    name = first;
  } else if (!usable(name)) {
    name = first;
  }
  tell(sentences);
  if (!name) return;
  const fields = VIEWS[name].fields(data);
  const [values, complaints] = settle(name === view ? given : {}, fields);
  tell([...sentences, ...complaints]);
  const defaults = Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.default]));
  current = { name, values, defaults };
  const view_ = VIEWS[name].build(data, values, remember);
  current.view = view_;
  panel.replaceChildren(el("h2", { class: "ex-title" }, VIEWS[name].title), view_.node);
  view_.started?.();
  for (const [key, tab] of Object.entries(tabs)) {
    if (key === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}

/** Write the state into the address, at rest: browsers refuse to be asked hundreds of times a second. */
function remember() {
  clearTimeout(writing);
  const { name, values, defaults } = current;
  writing = setTimeout(() => {
    if (current.name !== name) return;
    const shared = { ...values };
    if (shared.image === "own") delete shared.image; // one's own image stays here
    history.replaceState(null, "", format(name, shared, defaults));
  }, 150);
}

function start() {
  root = document.getElementById("bioadv-explorer");
  if (!root) return;
  data = load();
  if (!data.results && !data.networks) {
    tell(data.problems);
    root.prepend(message);
    root.querySelector(".ex-waiting")?.remove();
    return;
  }
  const nav = el("nav", { class: "ex-tabs", "aria-label": "Views of the explorer" },
    Object.entries(VIEWS).map(([name, view]) => (tabs[name] = el("a", { href: `#${name}`, "aria-disabled": usable(name) ? null : "true" }, view.title))));
  root.replaceChildren(nav, message, panel);
  root.classList.add("ex-started");
  show(location.hash);
  addEventListener("hashchange", () => show(location.hash));
  // A change of the theme changes colours that are painted, not styled.
  new MutationObserver(() => current.view?.themed?.()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  root.dataset.ready = String(Math.round(performance.now()));
}

if (typeof document !== "undefined") {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}
