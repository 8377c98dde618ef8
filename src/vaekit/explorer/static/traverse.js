// One latent moves over its range, the others stay as the sliders have them.
import * as api from "./api.js";
import { $, clamp, download, example, make, number, savePng } from "./dom.js";
import { strip } from "./pick.js";

const FRAMES = 11;

export function traverse(app) {
  const { facts, store } = app;
  const panel = $("panel-traverse");
  const select = make("select", { id: "traverse-latent" }, ...facts.order.map((j) =>
    make("option", { value: String(j) }, `${facts.latents[j]}${facts.kl === null ? "" : ` · ${number(facts.kl[j])} nats`}`)));
  const reach = make("input", { type: "number", id: "traverse-reach", min: 0.5, max: 20, step: 0.5, value: 3 });
  const row = strip(app, "Traversal");
  let rows = null;

  const draw = api.latest(async () => {
    const j = Number(select.value);
    const r = clamp(Number(reach.value) || 3, 0.1, 1000);
    const top = facts.discrete ? facts.discrete.categories - 1 : 0;
    const count = facts.discrete ? Math.min(top + 1, 64) : FRAMES;
    const values = Array.from({ length: count }, (_, i) => facts.discrete ? Math.round(i * top / Math.max(1, count - 1)) : -r + 2 * r * i / (count - 1));
    const found = (await api.post("api/traverse", { z: store.z, dimension: j, values })).z;
    const label = store.label;
    const pictures = await api.decode(found, label);
    rows = found;
    row.draw(found, found.map((_, i) => example(facts, pictures, i)), values.map((v) => facts.discrete ? String(v) : number(v, 1)), label);
    app.alive();
  }, app.fail);
  const soon = () => { if (app.tab === "traverse") draw(); };
  select.addEventListener("change", () => { soon(); app.changed(); });
  reach.addEventListener("change", () => { soon(); app.changed(); });
  store.listen(soon);

  const png = make("button", { type: "button", onclick: () => rows && savePng(row.canvases(), "vaekit-traversal.png") }, "Save strip as PNG");
  const npz = make("button", { type: "button", onclick: () => rows && app.attempt(async () => download(await api.file(rows, store.label), "vaekit-traversal.npz")) }, "Save strip as NPZ");
  panel.append(
    make("p", { className: "soft" }, "One latent moves, the others stay as the sliders have them. Click a picture to take its code."),
    make("div", { className: "row" }, make("label", { htmlFor: "traverse-latent" }, "Latent"), select,
      ...(facts.discrete ? [] : [make("label", { htmlFor: "traverse-reach" }, "from −/+"), reach])),
    row.element, make("div", { className: "row" }, png, npz));
  return {
    opened: draw,
    save: () => ({ tj: select.value, tr: reach.value }),
    restore(words) {
      if ([...select.options].some((one) => one.value === words.get("tj"))) select.value = words.get("tj");
      if (Number(words.get("tr")) > 0) reach.value = words.get("tr");
    },
  };
}
