// Choosing an example of the test split by its number, with its picture; and strips of decoded examples.
import * as api from "./api.js";
import { className, example, make, paint } from "./dom.js";

let groups = 0;

// Pictures of examples, fetched once each; the oldest go first when there are many.
const kept = new Map();
export async function thumbnail(facts, index) {
  if (!kept.has(index)) {
    if (kept.size > 600) kept.delete(kept.keys().next().value);
    kept.set(index, api.raw(`api/thumb?i=${index}`).then((bytes) => example(facts, bytes)).catch((error) => {
      kept.delete(index);
      throw error;
    }));
  }
  return kept.get(index);
}

export function picker(app, name, start, changed) {
  const { facts } = app;
  const canvas = make("canvas", { className: "pix", role: "img", "aria-label": `Example ${name}`, width: 1, height: 1 });
  const input = make("input", { type: "number", min: 0, max: facts.n_test - 1, step: 1, value: start, "aria-label": `Number of example ${name}` });
  const other = make("button", { type: "button", "aria-label": `Another example ${name} at random` }, "Random");
  const hear = facts.sound ? [make("button", { type: "button", "aria-label": `Hear example ${name}`, onclick: () => app.hear(`example ${self.index}`, () => api.heard(self.index)) }, "Hear")] : [];
  const told = make("div", { className: "name" });
  const element = make("fieldset", { className: "picker" }, make("legend", {}, name), canvas, told, make("div", { className: "row" }, input, other, ...hear));
  const self = { element, canvas, z: null, label: null, index: start };
  const begin = api.turns();
  let loading = null; // the newest choice, on its way or there

  async function fetched(index) {
    const newest = begin();
    const [{ z, label }, values] = await Promise.all([api.get(`api/example?i=${index}`), thumbnail(facts, index)]);
    if (!newest()) return;
    Object.assign(self, { z, label, index });
    if (document.activeElement !== input) input.value = index; // a person may be typing another
    paint(canvas, facts, values);
    told.textContent = className(facts, label) ? `label ${className(facts, label)}` : `example ${index}`;
    canvas.setAttribute("aria-label", `Example ${name}: number ${index}${label === null ? "" : `, label ${className(facts, label)}`}`);
  }
  self.load = (index) => {
    const mine = loading = fetched(index);
    mine.catch(() => { if (loading === mine) loading = null; }); // to be asked for again
  };
  // Begins with the first example, and waits until the newest choice has its code.
  self.settled = async () => {
    if (loading === null) self.load(self.index);
    for (let seen = null; seen !== loading;) await (seen = loading);
  };
  self.restore = (index) => {
    begin(); // what is on its way is of the place before
    self.index = input.value = index;
    loading = null;
  };
  const choose = (index) => app.attempt(async () => {
    if (!Number.isInteger(index) || index < 0 || index >= facts.n_test) {
      throw new api.Failure(`There is no example ${input.value || "of that name"}; they go from 0 to ${facts.n_test - 1}.`);
    }
    self.load(index);
    await changed();
    app.changed();
  });
  input.addEventListener("change", () => choose(input.value === "" ? NaN : Number(input.value)));
  other.addEventListener("click", () => choose(Math.floor(Math.random() * facts.n_test)));
  return self;
}

// A row of a table, its cells named; what differs from the row before is marked.
const cells = (facts, values, before) => make("span", { className: "cells" }, ...facts.names.map((name, i) =>
  make("span", { className: before && before[i] !== values[i] ? "changed" : "" }, make("small", {}, name), ` ${values[i] || "–"}`)));

// A row of decoded codes, each a button that takes its code.
export function strip(app, name) {
  const { facts, store } = app;
  const element = make("div", { className: facts.text && !facts.molecules ? "strip read" : facts.series || facts.molecules ? "strip wide" : "strip", role: "group", "aria-label": name });
  let canvases = [];
  return {
    element,
    canvases: () => canvases,
    draw(rows, examples, captions, label) {
      const had = element.contains(document.activeElement) ? [...element.children].indexOf(document.activeElement) : -1;
      canvases = [];
      element.replaceChildren(...rows.map((z, i) => {
        const values = examples[i];
        const canvas = make("canvas", { className: "pix", width: 1, height: 1, "aria-hidden": "true" });
        paint(canvas, facts, values);
        canvases.push(canvas);
        return make("button", { type: "button", "aria-label": `${name}: take ${captions[i]}`, title: "Take this code",
          onclick: () => { store.set({ z, label }, { pixels: values }); app.say(`Took ${captions[i]}.`); } },
          ...(facts.text && !facts.molecules ? [make("span", { className: "soft" }, captions[i]), facts.table ? cells(facts, values, examples[i - 1]) : make("span", { className: "line" }, values || "(nothing)")] : [canvas, captions[i]]));
      }));
      if (had >= 0) element.children[Math.min(had, rows.length - 1)]?.focus();
    },
  };
}

export function radios(legend, options, chosen, changed) {
  const group = `group-${++groups}`;
  const inputs = Object.entries(options).map(([value, text]) => {
    const input = make("input", { type: "radio", name: group, value, checked: value === chosen });
    input.addEventListener("change", () => changed(value));
    return make("label", {}, input, ` ${text}`);
  });
  const element = make("div", { className: "row", role: "radiogroup", "aria-label": legend }, ...inputs);
  return { element, set(value) { for (const one of element.querySelectorAll("input")) one.checked = one.value === value; } };
}

// Why a tool that needs the run's data cannot work, as an element; null when it can.
export function lacking(app) {
  return app.facts.n_test > 0 ? null : make("p", { className: "warn" }, `This needs the run's data: ${app.facts.problem ?? "there are no test examples"}.`);
}
