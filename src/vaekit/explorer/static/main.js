// Starts the page: facts, stage, sliders, tabs, shortcuts, the link.
import * as api from "./api.js";
import { $, className, download, example, make, number, paint, savePng, SERIES_SHAPE, valueTable } from "./dom.js";
import { between } from "./between.js";
import { labelControls, readLabel } from "./label.js";
import { live } from "./live.js";
import { latentMap } from "./map.js";
import { own } from "./own.js";
import { sliders } from "./sliders.js";
import { Store } from "./store.js";
import { temperature } from "./temperature.js";
import { tour } from "./tour.js";
import { sound } from "./sound.js";
import { sum } from "./sum.js";
import { traverse } from "./traverse.js";

let TABS = ["map", "between", "sum", "traverse", "own"];
const app = { drawn: 0, version: 0, tab: "map" };

app.fail = (error) => {
  if (!(error instanceof api.Failure)) console.error(error);
  $("alert-text").textContent = error instanceof api.Failure ? error.message : `The page failed: ${error.message}`;
  $("alert").hidden = false;
  app.gone = error instanceof api.Gone;
};
app.ok = () => { $("alert").hidden = true; };
// The server answers again: only the message that it does not goes away by itself.
app.alive = () => { if (app.gone) app.ok(); };
// Work that nobody asked for just now.
app.quietly = (work) => work().then(app.alive, app.fail);
app.say = (text) => { $("status").textContent = text; };
app.note = (text) => { $("distance").textContent = text; };
// Runs what a person asked for; a failure is shown, a success takes an old failure away.
app.attempt = async (work) => {
  try {
    const value = await work();
    app.ok();
    return value;
  } catch (error) {
    app.fail(error);
    return undefined;
  }
};

function stage() {
  const { facts, store } = app;
  const canvas = $("decoded");
  if (facts.nodes) $("stage-title").textContent = "Likeliest links";
  canvas.hidden = !facts.pictured;
  $("decoded-table").hidden = facts.pictured && !facts.molecules;
  const table = facts.pictured && !facts.molecules ? null : valueTable(facts, ["Decoded"]);
  if (table) {
    $("decoded-table").append(table.element);
    if (!facts.molecules) document.querySelector(".stage-body").classList.add(facts.text && !facts.table ? "read" : "table");
  }
  if (facts.undrawn) $("decoded-table").append(make("p", { className: "soft" }, `${facts.undrawn[0].toUpperCase()}${facts.undrawn.slice(1)}.`));
  if (facts.series || facts.graphs || facts.molecules) document.addEventListener("vaekit:theme", () => { if (app.values) paint(canvas, facts, app.values); });
  if (facts.series) {
    canvas.style.aspectRatio = SERIES_SHAPE.join(" / ");
    const { names, steps, rate, scales } = facts.series;
    const across = rate ? `${(steps / rate).toPrecision(3)} s across` : `${steps} steps across`;
    const ends = scales.map(([low, high], i) => `${scales.length > 1 ? `${names[i]} ` : ""}${low.toPrecision(3)} to ${high.toPrecision(3)}`);
    canvas.title = `${across}, ${ends.join(", ")} upwards; band: two standard deviations.${scales.length > 1 ? "" : ` ${names.join(", ")}`}`;
  }
  if (facts.image) canvas.style.aspectRatio = `${facts.width} / ${facts.height}`;

  function draw(values, version) {
    if (version <= app.drawn) return; // an older answer that came late
    app.drawn = version;
    app.values = values;
    if (facts.pictured) paint(canvas, facts, values);
    table?.fill(0, values);
    if (facts.molecules) canvas.setAttribute("aria-label", `Decoded molecule ${values}`);
    document.dispatchEvent(new CustomEvent("vaekit:drawn", { detail: version }));
  }
  const redraw = api.latest(async () => {
    const version = app.version;
    if (version <= app.drawn) return;
    draw(example(facts, await api.decode([store.z], store.label)), version);
    app.alive();
  }, app.fail);
  store.listen((pixels) => {
    app.version += 1;
    if (pixels !== null) draw(pixels, app.version);
    else redraw();
    $("undo").disabled = !store.past.length;
    $("redo").disabled = !store.future.length;
    app.showLabel(store.label);
  });
}

function controls() {
  const { facts, store } = app;
  const act = {
    reset: () => { store.set({ z: facts.centre }); app.say("Reset."); },
    random: () => app.attempt(async () => {
      const { z } = await api.post("api/random", { label: store.label, seed: Math.floor(Math.random() * 2 ** 32) });
      store.set({ z });
      app.say("A new code from the prior.");
    }),
    undo: () => app.say(store.undo() ? "Undone." : "Nothing to undo."),
    redo: () => app.say(store.redo() ? "Redone." : "Nothing to redo."),
    "save-png": () => savePng([facts.pictured ? $("decoded") : bars()], "vaekit.png"),
    "save-npz": () => app.attempt(async () => download(await api.file([store.z], store.label), "vaekit.npz")),
    link: async () => {
      writeLink();
      try {
        await navigator.clipboard.writeText(location.href);
        app.say("The link is copied.");
        $("link").textContent = "Link copied";
      } catch {
        app.say("Copy the link from the address bar.");
        $("link").textContent = "In the address bar";
      }
      setTimeout(() => { $("link").textContent = "Copy link"; }, 2000);
    },
    theme: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true),
    help: () => $("shortcuts").showModal(),
    "alert-close": app.ok,
  };
  const bars = () => { const made = make("canvas"); paint(made, facts, app.values); return made; };
  for (const [id, call] of Object.entries(act)) $(id).addEventListener("click", call);
  app.showLabel = labelControls(app);
  const keys = { r: "reset", n: "random", u: "undo", U: "redo", s: "save-png", l: "link", d: "theme", "?": "help", ...(facts.sound ? { h: "hear" } : {}) };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("select, textarea, input:not([type=range]):not([type=radio]):not([type=checkbox])");
    if (typing || $("shortcuts").open || event.altKey) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      return act[event.shiftKey ? "redo" : "undo"]();
    }
    if (event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (event.key === "/") { event.preventDefault(); app.sliders.focus(); }
    else if (keys[event.key]) { event.preventDefault(); const name = keys[event.key]; name in act ? act[name]() : $(name).click(); }
    else if (TABS[Number(event.key) - 1] && !event.target.matches("input[type=range]")) openTab(TABS[Number(event.key) - 1], true);
  });
}

function setTheme(theme, keep) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  try { if (keep) localStorage.setItem("vaekit-theme", theme); } catch { /* storage may be off */ }
  document.dispatchEvent(new Event("vaekit:theme"));
}

function openTab(name, focus = false) {
  app.tab = name;
  for (const one of TABS) {
    const on = one === name;
    $(`tab-${one}`).setAttribute("aria-selected", String(on));
    $(`tab-${one}`).tabIndex = on ? 0 : -1;
    $(`panel-${one}`).hidden = !on;
  }
  if (focus) $(`tab-${name}`).focus();
  app.tools[name]?.opened?.();
  linkSoon();
}

function tabs() {
  for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => openTab(name));
  $("tabs").addEventListener("keydown", (event) => {
    const at = TABS.indexOf(app.tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    openTab(TABS[(to + TABS.length) % TABS.length], true);
  });
}

// -- the link: all that is needed to come back here ----------------------------------------------------------------

const compact = (value) => String(Number(value.toPrecision(6)));
let soon = 0;
function linkSoon() {
  clearTimeout(soon);
  soon = setTimeout(writeLink, 300);
}
function writeLink() {
  clearTimeout(soon);
  const words = new URLSearchParams({ z: app.store.z.map(compact).join(","), tab: app.tab });
  if (app.store.label !== null) words.set("y", String(app.store.label));
  for (const tool of Object.values(app.tools)) for (const [name, value] of Object.entries(tool.save?.() ?? {})) words.set(name, value);
  written = `#${words.toString().replaceAll("%2C", ",")}`;
  history.replaceState(null, "", location.pathname + written);
}
let written = "";
app.changed = linkSoon;

async function restore() {
  const words = new URLSearchParams(location.hash.slice(1));
  const { facts, store } = app;
  let state = { z: store.z, label: store.label };
  if (words.has("z")) {
    const z = words.get("z").split(",").map(Number);
    if (z.length === facts.size && z.every((v) => Number.isFinite(v) && Math.abs(v) <= 1e6)) state.z = z;
    else app.fail(new api.Failure(`This link is of another run: it has ${z.length} latents, and this run has ${facts.size}.`));
  }
  state.label = readLabel(facts, words.get("y")) ?? state.label;
  for (const tool of Object.values(app.tools)) tool.restore?.(words);
  store.put(state);
  openTab(TABS.includes(words.get("tab")) ? words.get("tab") : TABS[0]);
}

async function start() {
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);  // the token is a cookie now
  let theme = null;
  try { theme = localStorage.getItem("vaekit-theme"); } catch { /* storage may be off */ }
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(theme ?? (system.matches ? "dark" : "light"), false);
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light", false));
  const facts = await api.get("api/facts");
  app.facts = facts;
  if (facts.live) TABS = ["live", ...TABS];
  $("tab-live").hidden = !facts.live;
  app.store = new Store(facts);
  document.title = `${facts.title} · vaekit explorer`;
  $("title").textContent = facts.title;
  $("subtitle").textContent = facts.about.join(" · ");
  $("notes").hidden = !facts.warnings.length;
  $("notes").append(...facts.warnings.map((text) => make("p", {}, text)));
  stage();
  app.sliders = sliders(app);
  controls();
  sound(app);
  tabs();
  app.tools = { ...(facts.live ? { live: live(app) } : {}), map: latentMap(app), between: between(app), sum: sum(app), traverse: traverse(app), own: own(app), temperature: temperature(app) };
  app.store.listen(linkSoon);
  const motion = tour(app), linked = new URLSearchParams(location.hash.slice(1)).has("z");
  await restore();
  if (!linked) await motion.begin();
  app.tools.live?.begin();
  addEventListener("hashchange", () => { if (location.hash !== written) restore(); });
  $("main").setAttribute("aria-busy", "false");
}

start().catch(app.fail);
