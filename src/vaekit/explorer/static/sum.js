// a − b + c with the codes of three test examples.
import * as api from "./api.js";
import { $, example, make, paint, savePng } from "./dom.js";
import { lacking, picker } from "./pick.js";

export function sum(app) {
  const { facts, store } = app;
  const panel = $("panel-sum");
  const problem = lacking(app) ?? (facts.apart ? make("p", { className: "warn" }, `${facts.apart}: codes cannot be added.`) : null);
  if (problem) { panel.append(problem); return {}; }

  let result = null, taken = false; // whether the newest result is to be shown on the stage too
  const begin = api.turns();
  const pickers = ["a", "b", "c"].map((name, i) => picker(app, name, Math.min(i, facts.n_test - 1), () => compute(true)));
  const canvas = make("canvas", { className: "pix", role: "img", "aria-label": "a − b + c decoded", width: 1, height: 1 });
  const take = make("button", { type: "button", disabled: true, onclick: () => {
    store.set({ z: result.z, label: pickers[2].label }, { pixels: result.values });
    app.say("Took a − b + c.");
  } }, "Take this code");
  const png = make("button", { type: "button", onclick: () => result && savePng([...pickers.map((one) => one.canvas), canvas], "vaekit-sum.png") }, "Save PNG");

  async function compute(use) {
    const newest = begin();
    taken ||= use;
    await Promise.all(pickers.map((one) => one.settled()));
    if (!newest()) return;
    const [a, b, c] = pickers.map((one) => one.z);
    const { z } = await api.post("api/combine", { a, b, c });
    const label = facts.takes_label ? pickers[2].label : null;
    const values = example(facts, await api.decode([z], label));
    if (!newest()) return;
    result = { z, values };
    paint(canvas, facts, result.values);
    take.disabled = false;
    if (taken) store.set({ z, label }, { pixels: values });
    taken = false;
  }
  panel.append(
    make("p", { className: "soft" }, "What b has is taken from a, and the rest added to c: the three examples' codes, added and decoded."),
    make("div", { className: "pickers" }, ...pickers.map((one) => one.element),
      make("fieldset", { className: "picker" }, make("legend", {}, "a − b + c"), canvas, make("div", { className: "row" }, take, png))));
  return {
    opened: () => { if (result === null) app.quietly(() => compute(false)); },
    redraw() {
      result = null;
      if (app.tab === "sum") app.quietly(() => compute(false));
    },
    save: () => ({ sa: pickers[0].index, sb: pickers[1].index, sc: pickers[2].index }),
    restore(words) {
      ["sa", "sb", "sc"].forEach((name, i) => {
        const v = Number(words.get(name) ?? NaN);
        pickers[i].restore(Number.isInteger(v) && v >= 0 && v < facts.n_test ? v : pickers[i].index);
      });
      begin(); // what is on its way is of the place before
      taken = false;
      result = null;
    },
  };
}
