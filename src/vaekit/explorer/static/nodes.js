// The links of one graph on its map: its edges, the pairs that the model would join though they are none, and lists of
// both for the node that was chosen.
import * as api from "./api.js";
import { make, number } from "./dom.js";

const FIRST = 10, WRITTEN = 14; // pairs listed before a node is chosen; probabilities written on the map at once

export function nodeLinks(app, redraw) {
  const { facts, store } = app;
  const under = make("canvas", { className: "under", "aria-hidden": "true" });
  let known = null, chosen = -1, own = null;
  const toggle = (id, text, title) => {
    const button = make("button", { type: "button", id, title, "aria-pressed": "true" }, text);
    button.addEventListener("click", () => { button.setAttribute("aria-pressed", String(!on(button))); redraw(); });
    return button;
  };
  const on = (button) => button.getAttribute("aria-pressed") === "true";
  const edges = toggle("map-edges", "Edges", "Lines between linked nodes");
  const predicted = toggle("map-predicted", "Predicted links", "Dashed lines: the likeliest pairs that are no edge, with their probability");
  const told = make("p", { className: "soft", role: "status" });
  const lists = make("div", { className: "columns nodes" });
  const element = make("div", { id: "node-links" }, told, lists);
  const name = (i) => known?.names[i] ?? String(i);

  // Takes a node's code, as a click on the map does.
  const take = (i) => app.attempt(async () => {
    const { z } = await api.get(`api/example?i=${i}`);
    store.set({ z }, { by: "map" });
    await show(i);
  });
  const button = (i, p, text = name(i)) => make("li", {}, make("button", { type: "button", title: "Take this node", onclick: () => take(i) }, text), ` ${number(p)}`);
  const list = (title, items) => make("div", {}, make("h3", {}, title), items.length ? make("ul", { "aria-label": title }, ...items) : make("p", { className: "soft" }, "none"));

  function overview() {
    told.textContent = known.edges.length < known.total ? `${known.edges.length.toLocaleString("en")} of ${known.total.toLocaleString("en")} edges are drawn. Click a node for its links.` : `${known.total.toLocaleString("en")} edges. Click a node for its links.`;
    lists.replaceChildren(list("Likeliest pairs that are no edge", known.predicted.slice(0, FIRST).map(([i, j, p]) => button(i, p, `${name(i)} – ${name(j)}`))));
  }
  const begin = api.turns();
  async function show(i) {
    const newest = begin();
    const found = await api.get(`api/node?i=${i}`);
    if (!newest()) return;
    chosen = i;
    own = found;
    told.textContent = `${found.links.length} link${found.links.length === 1 ? "" : "s"}. The numbers are the model's probabilities.`;
    lists.replaceChildren(list(`Links of ${name(i)}`, found.links.map(([j, p]) => button(j, p))), list(`Predicted for ${name(i)}, no edge`, found.predicted.map(([j, p]) => button(j, p))));
    redraw();
  }

  const style = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable);
  function lines(context, at, pairs, { colour, thick, alpha = 1, dash = [] }) {
    const ratio = devicePixelRatio || 1;
    context.save();
    Object.assign(context, { strokeStyle: colour, lineWidth: thick * ratio, globalAlpha: alpha });
    context.setLineDash(dash.map((v) => v * ratio));
    context.beginPath();
    for (const [i, j] of pairs) {
      context.moveTo(...at(i));
      context.lineTo(...at(j));
    }
    context.stroke();
    context.restore();
  }
  const dash = [5, 4];

  // Below the nodes: the graph's edges, and all predicted links.
  function draw(map, at, seen) {
    if (under.width !== map.width || under.height !== map.height) Object.assign(under, { width: map.width, height: map.height });
    const context = under.getContext("2d");
    context.clearRect(0, 0, map.width, map.height);
    if (known === null) return;
    if (on(edges)) lines(context, at, known.edges.filter(seen), { colour: style("--soft"), thick: 0.8, alpha: Math.max(0.12, Math.min(0.6, 12 / Math.sqrt(known.edges.length))) });
    if (on(predicted)) lines(context, at, known.predicted.filter(seen), { colour: style("--predicted"), thick: 1.4, alpha: own === null ? 0.9 : 0.35, dash });
  }

  // Above the nodes: the links of the chosen one, and probabilities where there is room, of its links or the likeliest.
  function mark(context, at, seen) {
    if (known === null) return;
    const { width, height } = context.canvas, ratio = devicePixelRatio || 1;
    const ofChosen = (rows) => (own === null ? [] : rows.map(([j, p]) => [chosen, j, p]).filter(seen));
    const mine = ofChosen(own?.predicted ?? []);
    if (on(edges)) lines(context, at, ofChosen(own?.links ?? []), { colour: style("--ink"), thick: 2 });
    if (!on(predicted)) return;
    lines(context, at, mine, { colour: style("--predicted"), thick: 2, dash });
    context.save();
    Object.assign(context, { font: `${11 * ratio}px system-ui, sans-serif`, textAlign: "center", textBaseline: "middle", lineWidth: 3 * ratio, strokeStyle: style("--card"), fillStyle: style("--ink"), lineJoin: "round" });
    const taken = [];
    for (const [i, j, p] of own === null ? known.predicted.filter(seen) : mine) {
      const [x, y] = at(i).map((v, axis) => (v + at(j)[axis]) / 2);
      const room = x > 0 && y > 0 && x < width && y < height && !taken.some(([a, b]) => Math.abs(a - x) < 28 * ratio && Math.abs(b - y) < 13 * ratio);
      if (taken.length >= WRITTEN || !room) continue;
      taken.push([x, y]);
      context.strokeText(number(p), x, y);
      context.fillText(number(p), x, y);
    }
    context.restore();
  }

  return {
    under, element, controls: [edges, predicted], draw, mark, show, name,
    async load() {
      known = await api.get("api/links");
      chosen = -1;
      own = null;
      overview();
    },
  };
}
