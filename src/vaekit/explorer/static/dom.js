// Making elements, painting examples, and small words for numbers.

export const $ = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const number = (value, digits = 2) =>
  (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits).replace("-", "−");

export const short = (value) => {
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace(/-/g, "−");
};

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// One example's raw bytes → its values: pixels for images, 32-bit floats for rows, one string for what is read, an
// object for graphs.
export const sizeOf = (facts) =>
  facts.image ? facts.height * facts.width * facts.channels : 4 * (facts.series ? 2 * facts.series.channels * facts.series.steps : facts.names.length);
const texts = new WeakMap();
export function example(facts, buffer, index = 0) {
  if (facts.text || facts.graphs) {
    if (!texts.has(buffer)) texts.set(buffer, JSON.parse(new TextDecoder().decode(buffer)));
    return facts.graphs ? JSON.parse(texts.get(buffer)[index]) : texts.get(buffer)[index];
  }
  const size = sizeOf(facts);
  return facts.image ? new Uint8Array(buffer, index * size, size) : new Float32Array(buffer, index * size, size / 4);
}

export function fromBase64(facts, text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return example(facts, bytes.buffer);
}

// Paints one example: pixels as they are, series as lines, a row of numbers as bars about their own zero.
export function paint(canvas, facts, values) {
  if (facts.table) return words(canvas, facts.names.map((name, i) => `${name} ${values[i] || "–"}`));
  if (facts.molecules) return molecule(canvas, values);
  if (facts.text) return words(canvas, values);
  if (facts.graphs) return graph(canvas, values);
  if (facts.series) return lines(canvas, facts.series, values);
  if (!facts.image) return bars(canvas, values);
  const { width, height, channels } = facts;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true }); // kept in memory: quick to write small pictures
  const picture = context.createImageData(width, height);
  const out = new Uint32Array(picture.data.buffer);
  if (channels === 1) for (let i = 0; i < out.length; i++) out[i] = 0xff000000 | (values[i] * 0x010101);
  else for (let i = 0, j = 0; i < out.length; i++, j += 3) out[i] = 0xff000000 | (values[j + 2] << 16) | (values[j + 1] << 8) | values[j];
  context.putImageData(picture, 0, 0);
}

// A line to read, wrapped into a small picture of it, or lines that each stand alone; what does not fit ends in dots.
// The whole is its title.
function words(canvas, said) {
  const lines = Array.isArray(said) ? said : null, text = lines ? lines.join("\n") : said;
  const ratio = devicePixelRatio || 1, width = 176, height = 96, pad = 8, leading = 16;
  Object.assign(canvas, { width: width * ratio, height: height * ratio, title: text });
  canvas.classList.add("words");
  const context = canvas.getContext("2d");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  context.scale(ratio, ratio);
  context.fillStyle = style("--card") || "#fff";
  context.fillRect(0, 0, width, height);
  context.fillStyle = style("--ink") || "#000";
  context.font = "12px ui-monospace, Menlo, Consolas, monospace";
  const most = Math.floor((width - 2 * pad) / context.measureText("m").width), rows = lines ? lines.map((line) => (line.length > most ? `${line.slice(0, most - 1)}…` : line)) : [""];
  for (const word of lines ? [] : text.split(" ")) {
    const last = rows.at(-1);
    if (last === "" || (last + " " + word).length <= most) rows[rows.length - 1] = last === "" ? word : `${last} ${word}`;
    else rows.push(word);
    while (rows.at(-1).length > most) rows.push(rows.splice(-1, 1, rows.at(-1).slice(0, most))[0].slice(most));
  }
  const fit = Math.floor((height - 2 * pad) / leading);
  if (rows.length > fit) rows.splice(fit - 1, Infinity, `${rows[fit - 1].slice(0, most - 1)}…`);
  rows.forEach((row, i) => context.fillText(row, pad, pad + 11 + i * leading));
}

// A series: a line for each channel, and a band of two standard deviations where there are any. The channels share one
// panel, or have one each where their scales differ.
const COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70"];
export const SERIES_SHAPE = [480, 270];
function lines(canvas, facts, values) {
  const ratio = devicePixelRatio || 1, [width, height] = canvas.id === "decoded" ? SERIES_SHAPE : [176, 99];
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  canvas.classList.add("series");
  const context = canvas.getContext("2d");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  context.scale(ratio, ratio);
  context.fillStyle = style("--card") || "#fff";
  context.fillRect(0, 0, width, height);
  const panels = facts.scales.length, each = height / panels;
  facts.scales.forEach(([low, high], i) => {
    const top = i * each, y = (value) => top + 4 + (each - 8) * (high - value) / (high - low);
    context.fillStyle = style("--line") || "#ddd";
    if (i) context.fillRect(0, top, width, 1);
    if (low < 0 && high > 0) context.fillRect(4, y(0), width - 8, 1);
    if (width > 200) {
      context.fillStyle = style("--soft") || "#555";
      context.font = "18px system-ui, sans-serif"; // drawn at a good half of its size
      context.fillText(panels > 1 ? `${short(high)}  ${facts.names[i]}` : short(high), 6, top + 20);
      if (each > 44) context.fillText(short(low), 6, top + each - 6);
    }
    context.save();
    context.beginPath();
    context.rect(0, top, width, each);
    context.clip();
    for (let c = panels > 1 ? i : 0; c < (panels > 1 ? i + 1 : facts.channels); c++) channel(context, facts, values, c, width, y);
    context.restore();
  });
}
function channel(context, { channels, steps }, values, c, width, y) {
  const all = channels * steps, x = (t) => 4 + (width - 8) * t / Math.max(1, steps - 1);
  const at = (t) => values[c * steps + t], sd = (t) => values[all + c * steps + t];
  context.fillStyle = context.strokeStyle = COLOURS[c % COLOURS.length];
  context.lineWidth = width > 200 ? 1.8 : 1.2;
  for (let t = 0; t < steps; t++) { // one piece of observed steps after the other
    if (!Number.isFinite(at(t))) continue;
    const first = t;
    while (t + 1 < steps && Number.isFinite(at(t + 1))) t++;
    if (sd(first) > 0) {
      context.beginPath();
      for (let i = first; i <= t; i++) context.lineTo(x(i), y(at(i) + 2 * sd(i)));
      for (let i = t; i >= first; i--) context.lineTo(x(i), y(at(i) - 2 * sd(i)));
      context.globalAlpha = channels > 3 ? 0.1 : 0.2;
      context.fill();
      context.globalAlpha = 1;
    }
    context.beginPath();
    for (let i = first; i <= t; i++) context.lineTo(x(i), y(at(i)));
    context.stroke();
    if (first === t) context.fillRect(x(t) - 1, y(at(t)) - 1, 2, 2);
  }
}

// A molecule, by its SMILES: the server's drawing, as an image. The newest that was asked for stays.
const MOLECULE = [280, 210], drawings = new Map();
function drawing(smiles) {
  const dark = document.documentElement.dataset.theme === "dark", address = `api/molecule?${new URLSearchParams({ smiles, ...(dark ? { dark: 1 } : {}) })}`;
  if (!drawings.has(address)) {
    if (drawings.size > 300) drawings.delete(drawings.keys().next().value);
    const image = new Image();
    image.src = address;
    drawings.set(address, image.decode().then(() => image, () => null));
  }
  return drawings.get(address);
}
async function molecule(canvas, smiles) {
  const ratio = devicePixelRatio || 1, [width, height] = MOLECULE.map((v) => Math.round(v * (canvas.id === "decoded" ? 1 : 0.63) * ratio));
  canvas.title = smiles || "(nothing)";
  canvas.classList.add("molecule");
  const image = await drawing(smiles);
  if (canvas.title !== (smiles || "(nothing)")) return; // another was asked for meanwhile
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--card") || "#fff";
  context.fillRect(0, 0, width, height);
  if (image) context.drawImage(image, 0, 0, width, height);
  canvas.dataset.drawn = smiles;
}

// A graph: its nodes where the server has laid them, and lines between those that are joined.
const GRAPH_SIDE = 280;
function graph(canvas, { at, edges }) {
  const ratio = devicePixelRatio || 1, side = canvas.id === "decoded" ? GRAPH_SIDE : 112;
  Object.assign(canvas, { width: side * ratio, height: side * ratio, title: `${at.length} nodes, ${edges.length} edges` });
  canvas.classList.add("graph");
  const context = canvas.getContext("2d"), pad = side / 14;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  context.scale(ratio, ratio);
  context.fillStyle = style("--card") || "#fff";
  context.fillRect(0, 0, side, side);
  const place = ([x, y]) => [side / 2 + x * (side / 2 - pad), side / 2 - y * (side / 2 - pad)];
  context.strokeStyle = style("--soft") || "#555";
  context.lineWidth = side > 200 ? 1.5 : 0.9;
  context.beginPath();
  for (const [i, j] of edges) {
    context.moveTo(...place(at[i]));
    context.lineTo(...place(at[j]));
  }
  context.stroke();
  context.fillStyle = COLOURS[0];
  const radius = Math.max(side / 120, Math.min(side / 36, side / (2 * at.length)));
  for (const node of at) {
    context.beginPath();
    context.arc(...place(node), radius, 0, 7);
    context.fill();
  }
}

function bars(canvas, values) {
  Object.assign(canvas, { width: 144, height: 144 });
  const context = canvas.getContext("2d");
  const low = Math.min(0, ...values), high = Math.max(0, ...values), span = high - low || 1;
  const step = canvas.width / values.length;
  context.fillStyle = "#4a90d9";
  values.forEach((value, i) => {
    const top = (high - Math.max(value, 0)) / span * canvas.height;
    context.fillRect(i * step, top, Math.max(1, step - 1), Math.max(1, Math.abs(value) / span * canvas.height));
  });
}

export function className(facts, label) {
  if (Array.isArray(label)) {
    const words = facts.conditions.map((one, i) => (label[i] === null || label[i] === undefined ? "" : `${one.name} ${one.levels?.[label[i]] ?? number(label[i])}`));
    return words.filter((word) => word !== "").join(", ");
  }
  return label === null || label === undefined || label < 0 ? "" : facts.classes[label] ?? String(label);
}

// A table of an example's values, with further columns; cells are kept, so that redrawing is cheap.
export function valueTable(facts, heads) {
  if (facts.text && !facts.table) return textTable(heads);
  const cells = [];
  const body = make("tbody");
  for (const name of facts.names) {
    const row = make("tr", {}, make("th", { scope: "row" }, name));
    const own = heads.map(() => make("td", {}, "–"));
    row.append(...own);
    cells.push(own);
    body.append(row);
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "Column"), ...heads.map((text) => make("th", { scope: "col" }, text)));
  return {
    element: make("table", {}, make("thead", {}, head), body),
    fill(column, values) {
      values.forEach((value, i) => {
        const cell = cells[i][column];
        cell.textContent = facts.table ? value || "–" : short(value);
        cell.classList.toggle("changed", facts.table && column > 0 && cell.textContent !== cells[i][0].textContent);
      });
    },
  };
}

// The same for what is read: a paragraph under each head.
function textTable(heads) {
  const paragraphs = heads.map((head) => make("p", { className: "words", "aria-label": head }, "–"));
  return {
    element: make("div", { className: "texts" }, ...heads.flatMap((head, i) => [...(heads.length > 1 ? [make("h4", {}, head)] : []), paragraphs[i]])),
    fill(column, text) { paragraphs[column].textContent = text || "(nothing)"; },
  };
}

export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const anchor = make("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Canvases of examples side by side as one PNG, four times as large, without smoothing.
export async function savePng(canvases, name) {
  const zoom = Math.max(1, Math.round(280 / canvases[0].height));
  const gap = canvases.length > 1 ? 4 : 0;
  const width = canvases.reduce((sum, one) => sum + one.width * zoom + gap, -gap);
  const out = make("canvas", { width, height: canvases[0].height * zoom });
  const context = out.getContext("2d");
  context.imageSmoothingEnabled = false;
  let left = 0;
  for (const one of canvases) {
    context.drawImage(one, left, 0, one.width * zoom, one.height * zoom);
    left += one.width * zoom + gap;
  }
  download(await new Promise((done) => out.toBlob(done, "image/png")), name);
}
