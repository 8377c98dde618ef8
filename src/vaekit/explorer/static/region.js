// A region of the map, drawn with the pointer: its labels, its mean, and some of its examples.
import * as api from "./api.js";
import { className, example, make, paint } from "./dom.js";
import { thumbnail } from "./pick.js";

const SHOWN = 12, MEANT = 200;

export function inside(path, x, y) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [ax, ay] = path[i], [bx, by] = path[j];
    if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

// Every so many of a list, so that no more than `most` are left.
const some = (list, most) => list.filter((_, i) => i % Math.ceil(list.length / most) === 0);

export function region(app) {
  const { facts, store } = app;
  const element = make("div", { id: "region", hidden: true });
  const told = make("p", { className: "soft", role: "status" }), row = make("div", { className: "strip", role: "group", "aria-label": "Mean of the region and some of its examples" });
  element.append(told, row);
  const begin = api.turns();

  const picture = (name, values, take) => {
    const canvas = make("canvas", { className: "pix", width: 1, height: 1, "aria-hidden": "true" });
    paint(canvas, facts, values);
    return make("button", { type: "button", "aria-label": `Take ${name}`, title: "Take this code", onclick: take }, canvas, name);
  };
  return {
    element,
    clear() { begin(); element.hidden = true; },
    show: (chosen, labels) => app.attempt(async () => {
      const newest = begin();
      if (!chosen.length) throw new api.Failure("There is no example in that region.");
      const counts = new Map();
      for (const i of labels === null ? [] : chosen) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
      const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([label, n]) => `${className(facts, label) || "no label"}: ${n}`);
      const few = some(chosen, SHOWN);
      const [{ z }, pictures] = await Promise.all([api.post("api/mean", { indices: some(chosen, MEANT) }), Promise.all(few.map((i) => thumbnail(facts, i)))]);
      const decoded = facts.apart ? null : example(facts, await api.decode([z], store.label));
      if (!newest()) return;
      told.textContent = `${chosen.length.toLocaleString("en")} ${facts.noun}s${most.length ? ` (${most.join(", ")})` : ""}.${decoded === null ? "" : " First the mean of their codes, decoded."}`;
      row.replaceChildren(...(decoded === null ? [] : [picture("mean", decoded, () => store.set({ z }, { pixels: decoded }))]),
        ...few.map((i, k) => picture(`#${i}`, pictures[k], () => app.attempt(async () => {
          const found = await api.get(`api/example?i=${i}`);
          store.set({ z: found.z, label: found.label ?? store.label });
        }))));
      element.hidden = false;
    }),
  };
}
