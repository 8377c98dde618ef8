// The latent map: up to 70,000 points written straight into pixels, so that panning and zooming stay smooth.
import * as api from "./api.js";
import { $, clamp, className, make, number, paint } from "./dom.js";
import { lacking, thumbnail } from "./pick.js";
import { nodeLinks } from "./nodes.js";
import { inside, region } from "./region.js";

// Ten colours that stay apart under the common colour-vision deficiencies (Petroff 2021, arXiv:2107.02270).
const PALETTE = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
const CELLS = 160;
const ABGR = (hex) => (0xff000000 | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16)) >>> 0;
const INKS = PALETTE.map(ABGR);
export { PALETTE as COLOURS };

// Numbers are coloured by their rank among the others, dark to bright (viridis); what is missing is grey.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], SHADES = 64, MISSING = 255;
const RAMP = Array.from({ length: SHADES }, (_, i) => {
  const at = i / (SHADES - 1) * (STOPS.length - 1), k = Math.min(STOPS.length - 2, Math.floor(at));
  const [r, g, b] = STOPS[k].map((v, c) => Math.round(v + (at - k) * (STOPS[k + 1][c] - v)));
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
});
export function shadesOf(values) {
  const order = [...values.keys()].filter((i) => Number.isFinite(values[i])).sort((a, b) => values[a] - values[b]);
  const shades = new Uint8Array(values.length).fill(MISSING);
  for (let k = 0; k < order.length;) { // equal values have one colour
    let end = k;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[k]]) end++;
    const shade = Math.round((k + end) / 2 / Math.max(1, order.length - 1) * (SHADES - 1));
    for (; k <= end; k++) shades[order[k]] = shade;
  }
  return shades;
}

// Points in square cells, to find the nearest one without looking at all of them.
class Grid {
  constructor(n, xy) {
    Object.assign(this, { n, xy });
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < n; i++) {
      const x = xy[2 * i], y = xy[2 * i + 1];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < low) low = y;
      if (y > high) high = y;
    }
    Object.assign(this, { left, right, low, high, size: Math.max(right - left, high - low, 1e-6) / CELLS });
    this.head = new Int32Array(CELLS * CELLS).fill(-1);
    this.next = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      const cell = this.row(xy[2 * i + 1]) * CELLS + this.column(xy[2 * i]);
      this.next[i] = this.head[cell];
      this.head[cell] = i;
    }
  }

  column(x) { return clamp(Math.floor((x - this.left) / this.size), 0, CELLS - 1); }
  row(y) { return clamp(Math.floor((y - this.low) / this.size), 0, CELLS - 1); }

  nearest(x, y, shown) {
    const c = this.column(x), r = this.row(y);
    let best = -1, least = Infinity;
    for (let ring = 0; ring < CELLS; ring++) {
      // A ring further out than the best so far cannot hold a nearer point.
      if (best >= 0 && (ring - 1) * this.size > Math.sqrt(least)) break;
      for (let i = Math.max(0, r - ring); i <= Math.min(CELLS - 1, r + ring); i++) {
        const edge = Math.abs(i - r) === ring;
        for (let j = c - ring; j <= c + ring; j += edge || ring === 0 ? 1 : 2 * ring) {
          if (j < 0 || j >= CELLS) continue;
          for (let k = this.head[i * CELLS + j]; k >= 0; k = this.next[k]) {
            const d = (this.xy[2 * k] - x) ** 2 + (this.xy[2 * k + 1] - y) ** 2;
            if (d < least && shown(k)) { least = d; best = k; }
          }
        }
      }
    }
    return { index: best, distance: Math.sqrt(least) };
  }
}

// How opaque a dot is where dots cover the map `layers` times over: a dense map shows where examples lie, no blob.
export const opacity = (layers) => clamp(0.6 / Math.max(layers, 1e-6), 0.12, 0.9);

export function latentMap(app) {
  const { facts, store } = app;
  const panel = $("panel-map");
  const problem = lacking(app);
  if (problem) { panel.append(problem); return {}; }

  const canvas = make("canvas", { id: "map", tabIndex: 0, role: "application", "aria-roledescription": "map",
    "aria-label": "Latent map. Arrow keys move the cross, Enter decodes there, plus and minus zoom, shift with arrows moves the map, 0 shows all." });
  const over = make("canvas", { className: "over", "aria-hidden": "true" }); // the marks: they move with every slider
  const tip = make("div", { className: "tip", hidden: true }), tipPicture = make("canvas", { className: "pix", width: 1, height: 1 }), tipText = make("div");
  tip.append(tipPicture, tipText);
  const progress = make("p", { className: "soft" }, "Making the map…");
  const { noun } = facts;
  const modes = { near: `this place, other directions from the nearest ${noun}`, keep: "this place, other directions as they are",
    plane: "this place in the plane alone", example: `the nearest ${noun} itself` };
  const mode = make("select", { id: "map-mode" }, ...Object.entries(facts.apart ? { example: modes.example } : facts.nodes ? { example: modes.example, ...modes } : modes).map(([value, text]) => make("option", { value }, text)));
  const colour = make("select", { id: "map-colour" }, make("option", { value: "" }, "label"), ...facts.colours.map((value) => make("option", { value }, value)));
  const lasso = make("button", { type: "button", id: "map-lasso", "aria-pressed": "false", title: `Draw around ${noun}s: their labels, their mean, some of them` }, "Select a region");
  const chosenRegion = region(app);
  const ramp = make("span", { className: "soft", id: "map-ramp", hidden: true });
  const legend = make("div", { className: "legend", role: "group", "aria-label": "Labels shown" });
  const about = make("p", { className: "soft" });
  const umap = make("button", { type: "button", id: "map-umap", "aria-pressed": "false", disabled: facts.no_umap !== null || facts.n_test < 4,
    title: facts.no_umap ?? "Places by UMAP: what is near there is near in the latents. A click takes the nearest." }, "UMAP");
  const links = facts.nodes ? nodeLinks(app, () => ask()) : null;
  panel.append(make("div", { className: "row" },
    make("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(1.5) }, "+"),
    make("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(1 / 1.5) }, "−"),
    make("button", { type: "button", onclick: () => { fit(); ask(); app.changed(); } }, "Show all"),
    progress), make("div", { className: "row" }, make("label", { htmlFor: "map-mode" }, "A click decodes"), mode, make("label", { htmlFor: "map-colour" }, "Colour by"), colour, umap, lasso, ...(links?.controls ?? [])),
  make("div", { className: "mapbox" }, ...(links ? [links.under] : []), canvas, over, tip), legend, ramp, chosenRegion.element, about, ...(links ? [links.element] : []));

  let data = null, grid = null, plane = null, hidden = new Set(), asked = false, marking = false, wanted = null;
  let shades = null, path = null; // the colours of numbers; the region that is being drawn or was, in the plane
  const view = { x: 0, y: 0, scale: 1 }; // the middle, and pixels a unit
  const cross = { x: 0, y: 0, shown: false };
  let chosen = -1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const shown = (i) => hidden.size === 0 || data.labels === null || !hidden.has(data.labels[i]);

  const placed = (i) => toScreen(data.xy[2 * i], data.xy[2 * i + 1]);
  const joins = ([i, j]) => i < data.n && j < data.n && shown(i) && shown(j);

  function fit() {
    const margin = 1.08;
    view.x = (grid.left + grid.right) / 2;
    view.y = (grid.low + grid.high) / 2;
    view.scale = Math.min(canvas.width / (grid.right - grid.left || 1), canvas.height / (grid.high - grid.low || 1)) / margin;
    Object.assign(cross, { x: view.x, y: view.y });
  }
  const toScreen = (x, y) => [(x - view.x) * view.scale + canvas.width / 2, canvas.height / 2 - (y - view.y) * view.scale];
  const toPlane = (px, py) => [(px - canvas.width / 2) / view.scale + view.x, view.y - (py - canvas.height / 2) / view.scale];

  function resize() {
    const ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || (width === canvas.width && height === canvas.height)) return false;
    const grew = width / canvas.width;
    Object.assign(canvas, { width, height });
    if (data !== null && asked) view.scale *= grew;
    return true;
  }

  function draw() {
    asked = false;
    if (data === null || canvas.clientWidth === 0) return;
    const { width, height } = canvas;
    const started = performance.now();
    const picture = context.createImageData(width, height);
    const out = picture.data, ink = new Float32Array(width * height); // how much of each pixel is covered
    const ratio = devicePixelRatio || 1;
    const seen = data.n * (view.scale / fitted()) ** -2;
    const dot = Math.round(clamp(200 / Math.sqrt(seen), 1.6, 6) * ratio);
    const alpha = opacity(seen * dot * dot / (width * height));
    const { xy, labels, n } = data;
    const ox = width / 2 - view.x * view.scale - dot / 2, oy = height / 2 + view.y * view.scale - dot / 2;
    for (let i = 0; i < n; i++) {
      const left = Math.floor(xy[2 * i] * view.scale + ox), top = Math.floor(oy - xy[2 * i + 1] * view.scale);
      if (left < 0 || top < 0 || left + dot > width || top + dot > height) continue;
      if (hidden.size !== 0 && labels !== null && hidden.has(labels[i])) continue;
      const colour = shades !== null ? (shades[i] === MISSING ? 0xff999999 : RAMP[shades[i]]) : labels === null ? INKS[0] : INKS[labels[i] % 10];
      const red = colour & 255, green = (colour >> 8) & 255, blue = (colour >> 16) & 255;
      for (let y = top, row = top * width; y < top + dot; y++, row += width) {
        for (let at = row + left; at < row + left + dot; at++) {
          const was = ink[at], now = was + alpha * (1 - was), share = alpha / (alpha + was * (1 - alpha)), p = 4 * at;
          out[p] += (red - out[p]) * share;
          out[p + 1] += (green - out[p + 1]) * share;
          out[p + 2] += (blue - out[p + 2]) * share;
          ink[at] = now;
          out[p + 3] = 255 * now;
        }
      }
    }
    context.putImageData(picture, 0, 0);
    links?.draw(canvas, placed, joins);
    marks();
    app.mapTime = performance.now() - started;
  }

  function marks() {
    marking = false;
    if (data === null || canvas.clientWidth === 0) return;
    const ratio = devicePixelRatio || 1;
    if (over.width !== canvas.width || over.height !== canvas.height) Object.assign(over, { width: canvas.width, height: canvas.height });
    const context = over.getContext("2d");
    context.clearRect(0, 0, over.width, over.height);
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    const paper = getComputedStyle(document.documentElement).getPropertyValue("--card");
    const ring = (x, y, radius) => {
      for (const [colour, thick] of [[paper, 5], [ink, 2.2]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick * ratio;
        context.beginPath();
        context.arc(x, y, radius * ratio, 0, 7);
        context.stroke();
      }
    };
    links?.mark(context, placed, joins);
    if (plane !== null && !facts.apart) {
      const at = project(store.z);
      ring(...toScreen(...at), 8);
    } else if (chosen >= 0) ring(...toScreen(data.xy[2 * chosen], data.xy[2 * chosen + 1]), 8);
    if (path !== null) {
      context.strokeStyle = ink;
      context.lineWidth = 2 * ratio;
      context.setLineDash([6 * ratio, 4 * ratio]);
      context.beginPath();
      for (const place of path) context.lineTo(...toScreen(...place));
      context.closePath();
      context.stroke();
      context.setLineDash([]);
    }
    if (cross.shown) {
      const [x, y] = toScreen(cross.x, cross.y).map((v) => Math.round(v) + 0.5);
      for (const [colour, thick] of [[paper, 4], [ink, 1.5]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick * ratio;
        context.beginPath();
        context.moveTo(x - 14 * ratio, y); context.lineTo(x + 14 * ratio, y);
        context.moveTo(x, y - 14 * ratio); context.lineTo(x, y + 14 * ratio);
        context.stroke();
      }
    }
  }
  const fitted = () => Math.min(canvas.width / (grid.right - grid.left || 1), canvas.height / (grid.high - grid.low || 1));
  const askMarks = () => { if (!marking) { marking = true; requestAnimationFrame(marks); } };
  const ask = () => { if (!asked) { asked = true; requestAnimationFrame(draw); } };
  const project = (z) => plane.axes.map((axis) => axis.reduce((sum, a, j) => sum + a * (z[j] - plane.centre[j]), 0));

  function zoom(factor, px = canvas.width / 2, py = canvas.height / 2) {
    if (data === null) return;
    const [x, y] = toPlane(px, py);
    view.scale = clamp(view.scale * factor, fitted() / 4, fitted() * 400);
    const [nx, ny] = toPlane(px, py);
    view.x += x - nx;
    view.y += y - ny;
    ask();
    app.changed();
  }

  // -- decoding where a person points ---------------------------------------------------------------------------
  const go = api.latest(async (x, y) => {
    const near = grid.nearest(x, y, shown);
    if (near.index < 0) throw new api.Failure("Every label is hidden; show one to choose its examples.");
    chosen = near.index;
    const label = facts.takes_label && data.labels !== null ? data.labels[near.index] : null;
    let z, told;
    if (mode.value === "example" || plane === null) {
      ({ z } = await api.get(`api/example?i=${near.index}`));
      told = links ? `Node ${links.name(near.index)}` : `${noun[0].toUpperCase()}${noun.slice(1)} ${near.index}`;
    } else {
      const how = { near: { near: near.index }, keep: { keep: store.z }, plane: {} }[mode.value];
      ({ z } = await api.post("api/lift", { at: [x, y], ...how }));
      told = `Decoded at ${number(x)}, ${number(y)}; nearest is ${noun} ${near.index}`;
    }
    store.set({ z, label: label ?? store.label }, { by: "map" });
    told += data.labels === null ? "" : `, label ${className(facts, data.labels[near.index])}`;
    about.textContent = `${told}.`;
    app.say(about.textContent);
    await links?.show(near.index);
    app.ok();
  }, app.fail);

  const hover = api.latest(async (index) => {
    const values = await thumbnail(facts, index);
    if (tip.hidden || tip.dataset.index !== String(index)) return;
    paint(tipPicture, facts, values);
  }, app.fail);
  function point(px, py) {
    const near = grid.nearest(...toPlane(px, py), shown);
    const ratio = devicePixelRatio || 1;
    tip.hidden = near.index < 0 || near.distance * view.scale > 14 * ratio;
    if (tip.hidden) return;
    const [x, y] = toScreen(data.xy[2 * near.index], data.xy[2 * near.index + 1]).map((v) => v / ratio);
    tip.style.left = `${clamp(x + 14, 0, canvas.clientWidth - 96)}px`;
    tip.style.top = `${y > 120 ? y - 112 : y + 14}px`;
    if (tip.dataset.index === String(near.index)) return;
    tip.dataset.index = String(near.index);
    tipText.textContent = `${links ? links.name(near.index) : `#${near.index}`}${data.labels === null ? "" : ` · ${className(facts, data.labels[near.index])}`}`;
    hover(near.index);
  }

  // -- pointers and keys ----------------------------------------------------------------------------------------
  const pointers = new Map();
  let moved = 0;
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (data === null || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, where(event));
    if (drawing()) path = [toPlane(...where(event))];
    if (cross.shown) { cross.shown = false; askMarks(); }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (data === null) return;
    const now = where(event);
    const before = pointers.get(event.pointerId);
    if (before === undefined) return point(...now);
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length === 1) { // two fingers: their distance zooms
      const other = others[0][1];
      const far = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      zoom(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (drawing()) {
      path.push(toPlane(...now));
      askMarks();
    } else if (moved > 5 * (devicePixelRatio || 1)) {
      view.x -= (now[0] - before[0]) / view.scale;
      view.y += (now[1] - before[1]) / view.scale;
      tip.hidden = true;
      ask();
      app.changed();
    }
    pointers.set(event.pointerId, now);
  });
  const release = (event) => {
    const was = pointers.delete(event.pointerId);
    if (was && drawing() && path !== null) return enclosed();
    if (was && event.type === "pointerup" && pointers.size === 0 && moved <= 5 * (devicePixelRatio || 1)) go(...toPlane(...where(event)));
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-clamp(event.deltaY, -240, 240) / 400), ...where(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (data === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      const reach = Math.min(canvas.width, canvas.height) / 30 / view.scale;
      if (event.shiftKey) {
        view.x += 2 * reach * step[0];
        view.y += 2 * reach * step[1];
      } else {
        cross.x += reach * step[0];
        cross.y += reach * step[1];
        const [x, y] = toScreen(cross.x, cross.y); // the map follows the cross out of the picture
        if (x < 0 || x > canvas.width) view.x += reach * step[0];
        if (y < 0 || y > canvas.height) view.y += reach * step[1];
        const near = grid.nearest(cross.x, cross.y, shown).index;
        if (near >= 0) app.say(`${number(cross.x, 1)}, ${number(cross.y, 1)}; nearest ${noun} ${near}${data.labels === null ? "" : `, label ${className(facts, data.labels[near])}`}`);
      }
      cross.shown = true;
      ask();
    } else if (event.key === "Enter" || event.key === " ") { cross.shown = true; ask(); go(cross.x, cross.y); }
    else if (event.key === "+" || event.key === "=") zoom(1.5, ...toScreen(cross.x, cross.y));
    else if (event.key === "-") zoom(1 / 1.5, ...toScreen(cross.x, cross.y));
    else if (event.key === "0") { fit(); ask(); app.changed(); }
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) { cross.shown = true; askMarks(); } });
  canvas.addEventListener("blur", () => { if (cross.shown) { cross.shown = false; askMarks(); } });
  mode.addEventListener("change", () => app.changed());
  const drawing = () => lasso.getAttribute("aria-pressed") === "true";
  lasso.addEventListener("click", () => {
    lasso.setAttribute("aria-pressed", String(!drawing()));
    path = null;
    chosenRegion.clear();
    askMarks();
  });
  function enclosed() {
    const found = [];
    for (let i = 0; i < data.n; i++) if (shown(i) && inside(path, data.xy[2 * i], data.xy[2 * i + 1])) found.push(i);
    askMarks();
    chosenRegion.show(found, data.labels);
  }
  const paintBy = api.latest(async () => {
    const by = colour.value;
    ramp.hidden = by === "";
    if (by === "") shades = null;
    else {
      ramp.textContent = "Computing…";
      const { values, low, high } = await api.floats(`api/colour?by=${encodeURIComponent(by)}`);
      shades = shadesOf(values);
      const scale = make("canvas", { width: SHADES, height: 1, className: "ramp" }), pen = scale.getContext("2d"), picture = pen.createImageData(SHADES, 1);
      new Uint32Array(picture.data.buffer).set(RAMP);
      pen.putImageData(picture, 0, 0);
      ramp.replaceChildren(`${by}: ${low} `, scale, ` ${high}, by rank`);
    }
    legend.hidden = by !== "";
    colour.dataset.shown = by;
    ask();
    app.alive();
  }, app.fail);
  colour.addEventListener("change", () => { paintBy(); app.changed(); });
  store.listen(askMarks);
  document.addEventListener("vaekit:theme", ask);
  new ResizeObserver(() => { if (resize()) ask(); }).observe(canvas);

  function legends() {
    if (data.labels === null) return;
    const known = [...new Set(data.labels)].sort((a, b) => a - b).slice(0, 40);
    for (const label of known) {
      const swatch = make("canvas", { width: 1, height: 1 });
      swatch.getContext("2d").fillStyle = PALETTE[label % 10];
      swatch.getContext("2d").fillRect(0, 0, 1, 1);
      const button = make("button", { type: "button", "aria-pressed": "true", "aria-label": `Show label ${className(facts, label)}` }, swatch, className(facts, label));
      button.addEventListener("click", () => {
        hidden.has(label) ? hidden.delete(label) : hidden.add(label);
        button.setAttribute("aria-pressed", String(!hidden.has(label)));
        ask();
      });
      legend.append(button);
    }
  }

  function adopt() {
    if (wanted === null || grid === null) return;
    Object.assign(view, { x: wanted[0], y: wanted[1], scale: wanted[2] * fitted() });
    Object.assign(cross, { x: view.x, y: view.y });
    wanted = null;
  }

  function place(found, said) {
    data = found;
    grid = new Grid(data.n, data.xy);
    chosen = -1;
    path = null;
    tip.hidden = true;
    chosenRegion.clear();
    resize();
    fit();
    adopt();
    progress.textContent = said;
    ask();
    app.changed();
  }
  let principal = null, begun = 0; // the plane of principal components with its points; how often places were changed
  async function load() {
    begun += 1;
    const found = await api.points(({ done, total }) => { progress.textContent = total ? `Making the map: ${done.toLocaleString("en")} of ${total.toLocaleString("en")} ${noun}s encoded…` : "Making the map…"; });
    principal = { found, plane: facts.apart ? null : await api.get("api/plane") };
    await links?.load();
    if (found.labels === null) colour.options[0].textContent = "nothing";
    showPrincipal();
    if (!legend.childElementCount) legends();
    if (colour.value !== "") paintBy();
    canvas.dataset.ready = "1";
    if (on(umap)) byUmap();
  }
  function showPrincipal() {
    ({ plane } = principal);
    mode.disabled = false;
    delete canvas.dataset.umap;
    const share = plane === null || facts.size <= 2 ? "" : ` Two principal components, ${number(100 * (plane.share[0] + plane.share[1]), 0)}% of the codes' variance.`;
    place(principal.found, `${principal.found.n.toLocaleString("en")} ${noun}s.${share}`);
  }
  // The map stays as it is until the places are there.
  const byUmap = () => app.attempt(async () => {
    const mine = ++begun;
    progress.textContent = "Computing UMAP…";
    try {
      const found = await api.points(() => {}, "api/umap");
      if (mine !== begun) return;
      plane = null;
      mode.disabled = true;
      canvas.dataset.umap = "1";
      place(found, `${found.n.toLocaleString("en")} ${noun}s, placed by UMAP.`);
      app.say("Placed by UMAP.");
    } catch (error) {
      if (mine !== begun) return;
      umap.setAttribute("aria-pressed", "false");
      showPrincipal();
      throw error;
    }
  });
  const on = (button) => button.getAttribute("aria-pressed") === "true";
  umap.addEventListener("click", () => {
    umap.setAttribute("aria-pressed", String(!on(umap)));
    if (principal === null) return; // `load` asks once the map is there
    if (on(umap)) byUmap();
    else { begun += 1; showPrincipal(); }
  });
  app.quietly(load);

  return {
    reload: load,
    opened: () => { resize(); ask(); },
    save() { // until the map is there, the place that the link asked for
      const place = grid === null ? wanted : [view.x, view.y, view.scale / fitted()];
      const shown = place === null ? {} : { mx: place[0].toPrecision(5), my: place[1].toPrecision(5), ms: place[2].toPrecision(4) };
      return { ...shown, mm: mode.value, ...(on(umap) ? { mu: 1 } : {}) };
    },
    restore(words) {
      const values = ["mx", "my", "ms"].map((name) => Number(words.get(name) ?? NaN));
      if (values.every(Number.isFinite) && values[2] > 0) { wanted = values; adopt(); ask(); }
      if (words.get("mu") === "1" && !on(umap)) umap.click();
      if ([...mode.options].some((one) => one.value === words.get("mm"))) mode.value = words.get("mm");
    },
  };
}
