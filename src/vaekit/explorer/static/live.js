// The training that goes on: curves, samples and map as checkpoints come, what the collapse watch says, and its controls.
import * as api from "./api.js";
import { $, clamp, example, make, number, paint } from "./dom.js";
import { COLOURS } from "./map.js";

const EVERY = 1000, SAMPLES = 16;
const STATES = { running: "Training", paused: "Paused", done: "Training has ended", failed: "Training has failed", ended: "No process trains this run: it was stopped" };

export function live(app) {
  const { facts, store } = app;
  const panel = $("panel-live");
  const status = make("p", { id: "live-status", role: "status" }, "Waiting for the first numbers…");
  const warning = make("p", { id: "live-warning", className: "warn", hidden: true });
  const curves = make("canvas", { id: "live-curves", role: "img", "aria-label": "Curves of training" });
  const map = make("canvas", { id: "live-map", role: "img", "aria-label": "Latent map of held-out examples" });
  const pictures = Array.from({ length: SAMPLES }, () => make("canvas", { className: "pix", width: 1, height: 1 }));
  const samples = make("div", { className: "samples", role: "img", "aria-label": "Samples: the same draws from the prior at each checkpoint" }, ...pictures);
  const said = make("ul", { id: "live-log", className: "soft" });

  const buttons = {};
  const button = (what, text, title) => buttons[what] = make("button", { type: "button", title, onclick: () => app.attempt(async () => {
    await api.post("api/ask", { what });
    app.say(`Asked: ${text}.`);
    tick();
  }) }, text);
  const controls = make("div", { className: "row" }, button("pause", "Pause", "Wait until it is to go on"), button("go on", "Go on", "Go on after a pause"),
    button("lower beta", "β × ½", "Halve the weight of the KL from here on"), button("lower learning rate", "Learning rate × ½", "Halve it from here on"),
    button("stop", "Stop", "End training here and keep what was learned"));
  panel.append(status, controls, warning, curves, make("h3", {}, "Samples"), samples, make("h3", {}, "Latent map"), map, said);

  let lines = [], version = -1, draws = null, points = null, state = "", timer = 0, busy = false;

  // -- curves: one line for training, dots for held-out examples --------------------------------------------------------

  function draw() {
    const ratio = devicePixelRatio || 1, width = curves.clientWidth, height = curves.clientHeight;
    if (!width) return;
    Object.assign(curves, { width: width * ratio, height: height * ratio });
    const context = curves.getContext("2d"), ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
    context.scale(ratio, ratio);
    const bound = lines.some((line) => line["valid.elbo"] !== undefined || line.elbo !== undefined);
    const value = (line, held) => (bound ? line[held ? "valid.elbo" : "elbo"] : line[held ? "valid.loss" : "loss"]);
    const series = [["training", COLOURS_OF[0], false], ["held out", COLOURS_OF[1], true]].map(([name, colour, held]) =>
      [name, colour, lines.filter((line) => value(line, held) !== undefined).map((line) => [line.step, value(line, held)])]);
    const all = series.flatMap(([, , list]) => list);
    if (!all.length) return;
    const ys = all.map(([, y]) => y).sort((a, b) => a - b), low = bound ? ys[Math.floor(ys.length * 0.04)] : ys[0], high = bound ? ys.at(-1) : ys[Math.floor(ys.length * 0.96)];
    const span = high - low || 1, last = Math.max(...all.map(([x]) => x), 1), left = 54, bottom = 24;
    const x = (step) => left + (width - left - 8) * step / last, y = (v) => 20 + (height - bottom - 26) * (1 - clamp((v - low) / span, -0.02, 1));
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = ink("--soft");
    for (const share of [0, 0.5, 1]) {
      context.fillText(number(low + share * span, span < 1 ? 3 : 1), 4, y(low + share * span) + 4);
      context.fillRect(left, y(low + share * span), width - left - 8, 0.5);
    }
    context.fillText(`step ${last.toLocaleString("en")}`, width - 96, height - 6);
    context.fillText(bound ? "ELBO, nats" : "loss", 4, 12);
    let at = 90;
    for (const [name, colour, list] of series) {
      context.fillStyle = context.strokeStyle = colour;
      context.lineWidth = 1.6;
      context.beginPath();
      for (const [step, v] of list) context.lineTo(x(step), y(v));
      context.stroke();
      if (name === "held out") for (const [step, v] of list) context.fillRect(x(step) - 2, y(v) - 2, 4, 4);
      context.fillRect(at, 5, 10, 4);
      context.fillText(name, at + 14, 12);
      at += 80;
    }
    for (const line of lines.filter((one) => one.control)) context.fillRect(x(line.step), 20, 1, height - bottom - 26);
    curves.dataset.steps = last;
  }
  const COLOURS_OF = ["#3f90da", "#e76300"];

  function scatter() {
    const ratio = devicePixelRatio || 1;
    if (points === null || !map.clientWidth) return;
    Object.assign(map, { width: map.clientWidth * ratio, height: map.clientHeight * ratio });
    const context = map.getContext("2d"), { n, xy, labels } = points;
    const ends = [0, 1].map((a) => { let low = Infinity, high = -Infinity; for (let i = a; i < 2 * n; i += 2) { low = Math.min(low, xy[i]); high = Math.max(high, xy[i]); } return [low, high - low || 1]; });
    for (let i = 0; i < n; i++) {
      context.fillStyle = COLOURS[labels === null ? 0 : Math.max(0, labels[i]) % COLOURS.length];
      context.fillRect(4 * ratio + (map.width - 10 * ratio) * (xy[2 * i] - ends[0][0]) / ends[0][1], 4 * ratio + (map.height - 10 * ratio) * (1 - (xy[2 * i + 1] - ends[1][0]) / ends[1][1]), 2.5 * ratio, 2.5 * ratio);
    }
    map.dataset.version = version;
  }

  // -- new weights ----------------------------------------------------------------------------------------------------

  async function renew() {
    draws ??= await Promise.all(pictures.map(async (_, seed) => (await api.post("api/random", { label: store.label, seed })).z));
    const decoded = await api.decode(draws, store.label);
    pictures.forEach((canvas, i) => paint(canvas, facts, example(facts, decoded, i)));
    samples.dataset.version = version;
    const { kl, order, low, high } = await api.get("api/facts");
    Object.assign(facts, { kl, order, low, high });
    app.sliders.renew();
    store.put({ z: store.z, label: store.label }); // what is shown is decoded again
    if (facts.problem === null) {
      points = await api.points(() => {});
      scatter();
      await app.tools.map.reload?.();
    }
  }

  async function tick() {
    clearTimeout(timer);
    if (busy) return;
    busy = true;
    try {
      const now = await api.get(`api/training?i=${lines.length}`);
      if (now.count < lines.length) lines = []; // another log
      else lines.push(...now.lines);
      state = now.status;
      const elbo = [...lines].reverse().find((line) => line["valid.elbo"] !== undefined);
      const used = now.active[1] ? `, ${now.active[0]} of ${now.active[1]} latents active` : "";
      status.textContent = `${STATES[state] ?? state}: step ${now.step.toLocaleString("en")}, epoch ${number(now.epoch, 1)}${elbo ? `, held-out ELBO ${number(elbo["valid.elbo"])} nats` : ""}${used}.`;
      status.dataset.state = state;
      warning.hidden = !now.warnings.length;
      warning.textContent = now.warnings.join(" ");
      const over = !["running", "paused"].includes(state);
      for (const [what, one] of Object.entries(buttons)) one.disabled = over || (what === "pause" && state === "paused") || (what === "go on" && state !== "paused");
      buttons["lower beta"].hidden = !now.beta;
      said.replaceChildren(...lines.filter((line) => line.control).slice(-6).map((line) => make("li", {}, `step ${line.step.toLocaleString("en")}: ${line.control}`)));
      draw();
      if (now.version !== version) {
        version = now.version;
        await renew();
      }
      app.alive();
      if (!over || version < 1) timer = setTimeout(tick, EVERY);
    } catch (error) {
      app.fail(error);
      timer = setTimeout(tick, 4 * EVERY);
    } finally {
      busy = false;
    }
  }
  document.addEventListener("vaekit:theme", draw);
  new ResizeObserver(() => { draw(); scatter(); }).observe(panel);
  return { begin: tick, opened: () => { draw(); scatter(); } };
}
