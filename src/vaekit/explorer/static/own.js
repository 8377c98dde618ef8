// An example of the person's own: drawn, from a file, or a test example. Its reconstruction, posterior, bound and score.
import * as api from "./api.js";
import { $, clamp, className, fromBase64, make, number, paint, valueTable } from "./dom.js";
import { lacking } from "./pick.js";

const PAD = 224; // pixels on the screen

export function own(app) {
  const { facts, store } = app;
  const panel = $("panel-own");
  let source = null; // {kind: "test", index} or {kind: "drawing"}: what the link brings back
  let invert = false, scores = null, found = null, original = null; // the WAV file that was opened
  const begin = api.turns();

  // -- drawing ----------------------------------------------------------------------------------------------------
  const pad = make("canvas", { id: "pad", width: facts.width || 1, height: facts.height || 1, tabIndex: 0, role: "application",
    "aria-roledescription": "drawing", "aria-label": "Draw an example. Arrow keys move the pen, Space puts it down or lifts it." });
  const ink = facts.grey ? new Float32Array(facts.width * facts.height) : null;
  const pen = { x: facts.width / 2, y: facts.height / 2, down: false, shown: false };
  let erase = false, last = null;

  function stamp(x, y) {
    const radius = Math.max(0.7, facts.width / 22);
    for (let i = Math.max(0, Math.floor(y - radius - 1)); i <= Math.min(facts.height - 1, y + radius + 1); i++) {
      for (let j = Math.max(0, Math.floor(x - radius - 1)); j <= Math.min(facts.width - 1, x + radius + 1); j++) {
        const much = clamp(radius + 0.6 - Math.hypot(j + 0.5 - x, i + 0.5 - y), 0, 1);
        const k = i * facts.width + j;
        ink[k] = erase ? Math.min(ink[k], 1 - much) : Math.max(ink[k], much);
      }
    }
  }
  function line(x, y) {
    const from = last ?? [x, y];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - from[0], y - from[1]) * 3));
    for (let s = 0; s <= steps; s++) stamp(from[0] + (x - from[0]) * s / steps, from[1] + (y - from[1]) * s / steps);
    last = [x, y];
    show();
  }
  const bytes = () => Uint8Array.from(ink, (v) => Math.round(255 * v));
  function show() {
    paint(pad, facts, bytes());
    if (!pen.shown) return;
    const context = pad.getContext("2d");
    context.fillStyle = pen.down ? "#f0a020" : "#1f9d55";
    context.fillRect(Math.floor(pen.x), Math.floor(pen.y), 1, 1);
  }
  const submit = api.latest(async (keep = false) => {
    source = { kind: "drawing" };
    await look(() => api.postBytes(`api/infer/pixels${query()}`, bytes()), "your drawing", source, keep);
  }, app.fail);
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * facts.width, (event.clientY - box.top) / box.height * facts.height];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    last = null;
    pen.shown = false;
    line(...place(event));
  });
  pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) line(...place(event)); });
  pad.addEventListener("pointerup", () => { last = null; submit(); });
  pad.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      pen.x = clamp(pen.x + step[0], 0.5, facts.width - 0.5);
      pen.y = clamp(pen.y + step[1], 0.5, facts.height - 0.5);
      pen.shown = true;
      if (pen.down) { last = null; line(pen.x, pen.y); submit(); } else show();
    } else if (event.key === " ") {
      pen.down = !pen.down;
      pen.shown = true;
      last = null;
      if (pen.down) { line(pen.x, pen.y); submit(); } else show();
      app.say(pen.down ? "Pen down." : "Pen up.");
    } else return;
    event.preventDefault();
  });
  pad.addEventListener("blur", () => { if (pen.shown) { pen.shown = pen.down = false; show(); } });

  // -- files and test examples --------------------------------------------------------------------------------------
  const file = make("input", { type: "file", id: "file", accept: `.png,.jpg,.jpeg,.npy${facts.sound ? ",.wav" : ""}`, className: "unseen" });
  const turn = make("input", { type: "checkbox", id: "invert" });
  turn.addEventListener("change", () => { invert = turn.checked; });
  const query = (more = {}) => {
    const words = new URLSearchParams({ ...(store.label === null ? {} : { label: store.label }), ...more });
    return words.size ? `?${words}` : "";
  };
  const upload = (one) => app.attempt(async () => {
    if (one.size > 8 * 2 ** 20) throw new api.Failure("The file is over 8 MiB; choose a smaller one.");
    original = null;
    await look(() => api.postBytes(`api/infer/file${query(invert ? { invert: 1 } : {})}`, one), one.name);
    if (/\.wav$/i.test(one.name)) original = one;
    hears();
  });
  file.addEventListener("change", () => { if (file.files.length) upload(file.files[0]).then(() => { file.value = ""; }); });
  panel.addEventListener("dragover", (event) => event.preventDefault());
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
  });
  const index = make("input", { type: "number", id: "own-index", min: 0, max: Math.max(0, facts.n_test - 1), step: 1, value: 0 });
  const known = (keep = false) => app.attempt(async () => {
    const i = index.value === "" ? NaN : Number(index.value);
    if (!Number.isInteger(i) || i < 0 || i >= facts.n_test) throw new api.Failure(`There is no example ${index.value || "of that name"}; they go from 0 to ${facts.n_test - 1}.`);
    await look(() => api.post("api/infer", { index: i }), `${facts.nodes ? "node" : "test example"} ${i}`, { kind: "test", index: i }, keep);
  });
  index.addEventListener("keydown", (event) => { if (event.key === "Enter") known(); });

  // -- what is found --------------------------------------------------------------------------------------------------
  const pictures = ["Example", "Reconstruction"].map((name) => ({ name, caption: make("figcaption", {}, name), canvas: make("canvas", { className: "pix", role: "img", "aria-label": name, width: 1, height: 1 }) }));
  const table = facts.pictured ? null : valueTable(facts, ["Example", "Reconstruction"]);
  const list = make("dl", { className: "facts" });
  const codes = make("div", { className: "codes" }), codesTitle = make("h3", { hidden: !facts.discrete }, "Codes");
  const histogram = make("canvas", { id: "histogram", role: "img", width: 460, height: 120, "aria-label": "Anomaly scores of the test examples" });
  const histogramNote = make("p", { className: "soft" });
  const results = make("div", { hidden: true, id: "own-results" });
  const refusedNote = make("p", { className: "warn", hidden: true });

  // Asks the model about an example, and shows its answer unless another was asked for meanwhile. With `keep` the code
  // stays as it is: that of a link, perhaps moved since.
  async function look(ask, name, from = null, keep = false) {
    const newest = begin();
    const answer = await ask();
    if (!newest()) return;
    source = from;
    await take(answer, name, keep);
  }

  // An example of the test split, or the file that was opened, and what the model makes of it.
  const hearExample = make("button", { type: "button", onclick: () => (source?.kind === "test" ? app.hear(`example ${source.index}`, () => api.heard(source.index)) : app.hear(original.name, async () => original)) }, "Hear the example");
  const hearMade = make("button", { type: "button", onclick: () => app.hear("reconstruction", () => api.sound(found.z, found.label)) }, "Hear the reconstruction");
  function hears() { hearExample.hidden = source?.kind !== "test" && original === null; }

  async function take(answer, name, keep) {
    found = answer;
    hears();
    const x = fromBase64(facts, answer.x), recon = fromBase64(facts, answer.recon);
    if (table) { table.fill(0, x); table.fill(1, recon); } else { paint(pictures[0].canvas, facts, x); paint(pictures[1].canvas, facts, recon); }
    if (facts.molecules) pictures.forEach(({ caption, name: what }, i) => { caption.textContent = `${what} ${[x, recon][i]}`; });
    const rows = [["Example", name + (answer.told ? ` (${answer.told})` : "")]];
    if (answer.label !== null && facts.classes.length) rows.push(["Label", className(facts, answer.label)]);
    if (answer.elbo !== null) {
      rows.push(["ELBO", `${number(answer.elbo, 1)} nats`], ["", `reconstruction ${number(answer.terms.reconstruction, 1)}, KL ${number(answer.terms.kl, 1)}`]);
    }
    if (answer.score !== null) rows.push(["Anomaly score", `${number(answer.score, 1)} (${answer.score_name})`]);
    if (answer.percentile !== null) rows.push(["Percentile", `higher than ${number(answer.percentile, 1)}% of test examples`]);
    list.replaceChildren(...rows.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
    refusedNote.hidden = answer.refused === null;
    refusedNote.textContent = answer.refused === null ? "" : `No ELBO: ${answer.refused}.`;
    results.hidden = false;
    if (facts.discrete) codeGrid(answer.z);
    else codeText(answer.codes);
    const posterior = { z: answer.z, sd: answer.sd };
    if (keep) store.put({ z: store.z, label: store.label }, { posterior });
    else store.set({ z: answer.z, label: answer.label ?? store.label }, { by: "own", pixels: recon, posterior });
    app.say(rows.map((row) => row.join(" ")).join(". "));
    app.ok();
    app.changed();
    scores ??= await api.get("api/scores");
    chart();
  }

  function chart() {
    if (scores === null || !scores.n || found === null || found.score === null) { histogram.hidden = true; return; }
    histogram.hidden = false;
    const ratio = devicePixelRatio || 1;
    Object.assign(histogram, { width: 460 * ratio, height: 120 * ratio });
    const context = histogram.getContext("2d");
    context.scale(ratio, ratio);
    const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
    const { counts, edges } = scores;
    const span = edges.at(-1) - edges[0], width = 440 / counts.length, most = Math.max(...counts);
    context.fillStyle = style("--soft");
    counts.forEach((count, i) => context.fillRect(10 + i * width, 92 - 84 * count / most, width - 1, 84 * count / most));
    context.fillRect(10, 92, 440, 1);
    const x = clamp(10 + 440 * (found.score - edges[0]) / span, 4, 456);
    context.fillStyle = style("--band");
    context.fillRect(x - 1.5, 2, 3, 96);
    context.fillStyle = style("--ink");
    context.font = "12px system-ui, sans-serif";
    const beyond = found.score > edges.at(-1) ? " →" : found.score < edges[0] ? "← " : "";
    context.textAlign = x > 230 ? "right" : "left";
    context.fillText(`this one${beyond}`, x + (x > 230 ? -6 : 6), 14);
    context.textAlign = "left";
    context.fillText(number(edges[0], 0), 10, 110);
    context.textAlign = "right";
    context.fillText(number(edges.at(-1), 0), 450, 110);
    histogramNote.textContent = `${scores.name}, of ${scores.n.toLocaleString("en")} test examples; the mark is this one.`;
    histogram.setAttribute("aria-label", `Histogram: ${histogramNote.textContent} It is ${found.percentile === null ? "unranked" : `higher than ${number(found.percentile, 1)} per cent`}.`);
  }

  // Discrete codes, laid out as the latent is, each to be changed by hand.
  function codeGrid(z) {
    const shape = facts.discrete.shape;
    const columns = shape.at(-1) ?? 1;
    codes.style.gridTemplateColumns = `repeat(${Math.min(columns, 16)}, auto)`;
    codes.replaceChildren(...z.map((value, j) => {
      const input = make("input", { type: "number", min: 0, max: facts.discrete.categories - 1, step: 1, value, "aria-label": `Code ${j + 1}` });
      input.addEventListener("change", () => {
        const next = [...store.z];
        next[j] = clamp(Math.round(Number(input.value) || 0), 0, facts.discrete.categories - 1);
        input.value = next[j];
        store.set({ z: next }, { by: `code ${j}` });
      });
      return input;
    }));
  }
  if (facts.discrete) store.listen(() => [...codes.children].forEach((input, j) => { input.value = store.z[j]; }));

  // Codes of several levels, as text: they are the encoder's choice and feed the sliders' embedding.
  function codeText(levels) {
    const flat = (value) => Array.isArray(value) && Array.isArray(value[0]) ? value.map(flat).join("\n") : [value].flat().join(" ");
    codesTitle.hidden = !Object.keys(levels).length;
    codes.replaceChildren(...Object.entries(levels).map(([name, value]) =>
      make("figure", {}, make("figcaption", {}, name), make("pre", { tabIndex: 0, role: "region", "aria-label": `Codes of ${name}` }, flat(value)))));
  }
  document.addEventListener("vaekit:theme", chart);

  // -- the panel --------------------------------------------------------------------------------------------------
  const clear = make("button", { type: "button", onclick: () => { ink.fill(0); show(); app.say("Cleared."); } }, "Clear");
  const eraser = make("button", { type: "button", "aria-pressed": "false", onclick: () => { erase = !erase; eraser.setAttribute("aria-pressed", String(erase)); } }, "Eraser");
  const choose = make("button", { type: "button", onclick: () => file.click() }, facts.sound ? "Open WAV, PNG or NPY…" : facts.image ? "Open PNG, JPEG or NPY…" : "Open NPY…");
  const inputs = make("div", { className: "grow" });
  if (facts.text) {
    if (facts.typed) {
      const line = make("textarea", { id: "own-text", rows: 3, maxLength: 10000, spellcheck: false });
      const encode = () => app.attempt(async () => {
        await look(() => api.post("api/infer/text", { text: line.value, label: store.label }), "your line");
      });
      line.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); encode(); } });
      inputs.append(make("h3", {}, make("label", { htmlFor: "own-text" }, "A line of your own")), line,
        make("div", { className: "row" }, make("button", { type: "button", onclick: encode }, "Encode it")));
    }
  } else if (facts.graphs) inputs.replaceChildren();
  else if (facts.image) {
    const inverting = make("label", { htmlFor: "invert" }, turn, " make it negative");
    inputs.append(make("h3", {}, "From a file"), make("div", { className: "row" }, choose, file, inverting));
  } else inputs.append(make("h3", {}, "From a file"), make("div", { className: "row" }, choose, file));
  file.setAttribute("aria-label", "File of an example");
  file.tabIndex = -1; // the button beside it opens it
  if (facts.n_test > 0) {
    inputs.append(make("h3", {}, facts.nodes ? "A node of the graph" : "From the test split"), make("div", { className: "row" }, make("label", { htmlFor: "own-index" }, "Number"), index,
      make("button", { type: "button", onclick: () => known() }, "Look at it"),
      make("button", { type: "button", onclick: () => { index.value = Math.floor(Math.random() * facts.n_test); known(); } }, "Random")));
  }
  const start = make("div", { className: "columns" });
  if (facts.grey) {
    pad.style.aspectRatio = `${facts.width} / ${facts.height}`;
    pad.style.height = facts.width === facts.height ? `${PAD}px` : "auto";
    start.append(make("div", {}, pad, make("div", { className: "row" }, eraser, clear)));
    show();
  }
  start.append(inputs);
  const intro = facts.grey ? "Draw here, open a file, or take a test example: the model encodes it and the sliders follow."
    : facts.text && !facts.typed || facts.graphs ? `Choose a ${facts.nodes ? "node" : "test example"}: the model encodes it and the sliders follow.`
    : `${facts.typed ? "Write a line" : "Open a file"}, or take a test example: the model encodes it and the sliders follow.`;
  results.append(make("h3", {}, "What the model makes of it"),
    make("div", { className: "columns" }, ...(table ? [make("div", { className: "table-frame", tabIndex: 0, role: "region", "aria-label": "Example and reconstruction" }, table.element)]
      : pictures.map(({ caption, canvas }) => make("figure", {}, canvas, caption))), make("div", { className: "grow" }, list, refusedNote, ...(facts.sound ? [make("div", { className: "row" }, hearExample, hearMade)] : []))),
    codesTitle, codes, histogram, histogramNote);
  panel.append(make("p", { className: "soft" }, intro), start, ...(lacking(app) ? [lacking(app)] : []), results);

  // The state of a drawing of up to 4,096 pixels fits into a link.
  const base64 = (data) => btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return {
    save: () => source?.kind === "test" ? { ex: source.index } : source?.kind === "drawing" && ink.length <= 4096 ? { dr: base64(bytes()) } : {},
    restore(words) {
      const i = Number(words.get("ex") ?? NaN);
      if (Number.isInteger(i) && i >= 0 && i < facts.n_test) { index.value = i; later(known); }
      else if (words.has("dr") && ink !== null) {
        try {
          const data = Uint8Array.from(atob(words.get("dr").replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
          if (data.length === ink.length) { ink.set(data.map(Number)); for (let k = 0; k < ink.length; k++) ink[k] = data[k] / 255; show(); later(submit); }
        } catch { /* a damaged link: an empty pad */ }
      }
    },
  };

  // A link's example is encoded again once its code is in the store, which stays.
  async function later(call) {
    await Promise.resolve();
    await call(true);
  }
}
