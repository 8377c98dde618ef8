// Two test examples and the way between them: the whole path is decoded once, so that scrubbing is instant.
import * as api from "./api.js";
import { $, download, example, make, number, savePng } from "./dom.js";
import { lacking, picker, radios, strip } from "./pick.js";

const STEPS = 41, SHOWN = 9;

export function between(app) {
  const { facts, store } = app;
  const panel = $("panel-between");
  const problem = lacking(app) ?? (facts.apart ? make("p", { className: "warn" }, `${facts.apart}: there is no way between two codes.`) : null);
  if (problem) { panel.append(problem); return {}; }

  let kind = "linear", path = null, pictures = null;
  const begin = api.turns();
  const compute = () => load();
  const a = picker(app, "A", 0, compute), b = picker(app, "B", Math.min(1, facts.n_test - 1), compute);
  const kinds = radios("Way between them", { linear: "straight", spherical: "spherical" }, kind, (value) => {
    kind = value;
    app.attempt(load);
    app.changed();
  });
  const scrub = make("input", { type: "range", className: "wide", min: 0, max: STEPS - 1, step: 1, value: 0, "aria-label": "Place between A and B" });
  const told = make("output", {}, "t = 0.00");
  const row = strip(app, "Path from A to B");
  const at = () => Number(scrub.value);
  const place = () => {
    const text = `t = ${number(at() / (STEPS - 1))}`;
    told.value = text;
    scrub.setAttribute("aria-valuetext", text);
  };

  function show() {
    place();
    if (path !== null) store.set({ z: path[at()], label: a.label }, { by: "scrub", pixels: example(facts, pictures, at()) });
    app.changed();
  }
  async function load() {
    const newest = begin();
    await Promise.all([a.settled(), b.settled()]);
    if (!newest()) return;
    const found = (await api.post("api/path", { a: a.z, b: b.z, steps: STEPS, kind })).z;
    const decoded = await api.decode(found, facts.takes_label ? a.label : null);
    if (!newest()) return;
    path = found;
    pictures = decoded;
    const every = Array.from({ length: SHOWN }, (_, i) => Math.round(i * (STEPS - 1) / (SHOWN - 1)));
    row.draw(every.map((i) => path[i]), every.map((i) => example(facts, pictures, i)), every.map((i) => `t = ${number(i / (STEPS - 1))}`), a.label);
  }
  scrub.addEventListener("input", () => { stop(); show(); });

  // To B and back, a step every 60 ms.
  let playing = 0, way = 1;
  const play = make("button", { type: "button", "aria-pressed": "false", onclick: () => (playing ? stop() : start()) }, "Play");
  function start() {
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    playing = setInterval(() => {
      if (path === null || app.tab !== "between") return app.tab === "between" ? undefined : stop();
      if (at() + way < 0 || at() + way >= STEPS) way = -way;
      scrub.value = at() + way;
      show();
    }, 60);
  }
  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }

  const swap = make("button", { type: "button", onclick: () => app.attempt(async () => {
    await Promise.all([a.settled(), b.settled()]);
    const was = a.index;
    a.load(b.index);
    b.load(was);
    await load();
    app.changed();
  }) }, "Swap A and B");
  const png = make("button", { type: "button", onclick: () => path && savePng(row.canvases(), "vaekit-path.png") }, "Save path as PNG");
  const npz = make("button", { type: "button", onclick: () => path && app.attempt(async () => download(await api.file(path, store.label), "vaekit-path.npz")) }, "Save path as NPZ");
  panel.append(
    make("p", { className: "soft" }, `Two ${facts.nodes ? "nodes" : "test examples"} are encoded; move between their codes.`),
    make("div", { className: "pickers" }, a.element, b.element), kinds.element,
    make("div", { className: "row" }, play, told), scrub, row.element, make("div", { className: "row" }, swap, png, npz));
  return {
    opened: () => { if (path === null) app.quietly(load); },
    redraw() {
      path = null;
      if (app.tab === "between") app.quietly(load);
    },
    save: () => ({ ia: a.index, ib: b.index, it: at(), ik: kind }),
    restore(words) {
      const whole = (name, most) => { const v = Number(words.get(name) ?? NaN); return Number.isInteger(v) && v >= 0 && v <= most ? v : null; };
      a.restore(whole("ia", facts.n_test - 1) ?? a.index);
      b.restore(whole("ib", facts.n_test - 1) ?? b.index);
      scrub.value = whole("it", STEPS - 1) ?? 0;
      if (["linear", "spherical"].includes(words.get("ik"))) { kind = words.get("ik"); kinds.set(kind); }
      begin(); // what is on its way is of the place before
      path = null;
      place();
    },
  };
}
