// The label that codes are decoded with: a class to choose, or a slider or choice for each attribute of a condition.
import { $, make, number } from "./dom.js";

const NONE = "–";

export function labelControls(app) {
  const { facts, store } = app;
  if (!facts.takes_label) return () => {};
  $("label-row").hidden = false;
  return facts.conditions.length ? attributes(facts, store) : classes(facts, store);
}

const choice = (names, optional, more) => make("select", more,
  ...(optional ? [make("option", { value: "-1" }, NONE)] : []), ...names.map((name, i) => make("option", { value: String(i) }, name)));

function classes(facts, store) {
  const select = choice(facts.classes, facts.optional, { id: "label" });
  $("label-row").append(make("label", { htmlFor: "label" }, "Label"), " ", select);
  select.addEventListener("change", () => store.set({ label: Number(select.value) }, { by: "label" }));
  return (label) => { select.value = String(label); };
}

function attributes(facts, store) {
  const shown = facts.conditions.map((one, i) => {
    const put = (value) => store.set({ label: store.label.map((old, j) => (j === i ? value : old)) }, { by: `condition ${i}` });
    const id = i === 0 ? "label" : `label-${i}`;
    const [element, show] = one.levels ? levels(facts, one, id, put) : slider(facts, one, id, put);
    $("label-row").append(make("span", { className: "condition" }, make("label", { htmlFor: id }, one.name), " ", ...element));
    return show;
  });
  return (label) => shown.forEach((show, i) => show(label[i]));
}

function levels(facts, one, id, put) {
  const select = choice(one.levels, facts.optional, { id });
  select.addEventListener("change", () => put(select.value === "-1" ? null : Number(select.value)));
  return [[select], (value) => { select.value = String(value ?? -1); }];
}

function slider(facts, one, id, put) {
  const step = Number(((one.high - one.low || 1) / 140).toPrecision(1));
  const input = make("input", { type: "range", id, min: one.low, max: one.high, step });
  const output = make("output", { htmlFor: id });
  const known = make("input", { type: "checkbox", checked: true, "aria-label": `${one.name} is given` });
  input.addEventListener("input", () => put(Number(input.value)));
  known.addEventListener("change", () => put(known.checked ? Number(input.value) : null));
  const show = (value) => {
    known.checked = value !== null;
    input.disabled = value === null;
    if (value !== null) input.value = String(value);
    output.textContent = value === null ? NONE : number(value);
  };
  return [[input, " ", output, ...(facts.optional ? [" ", known] : [])], show];
}

// A label as it stands in a link: a class's number, or an attribute's values with commas, nothing where one is missing.
export function readLabel(facts, text) {
  if (text === null || text === "") return null;
  const values = text.split(",").map((word) => (word === "" ? null : Number(word)));
  if (!facts.conditions.length) {
    const least = facts.optional ? -1 : 0;
    return values.length === 1 && Number.isInteger(values[0]) && values[0] >= least && values[0] < facts.classes.length ? values[0] : null;
  }
  const fits = values.length === facts.conditions.length && values.every((value, i) => {
    if (value === null) return facts.optional;
    const names = facts.conditions[i].levels;
    return Number.isFinite(value) && (!names || (Number.isInteger(value) && value >= 0 && value < names.length));
  });
  return fits ? values : null;
}
