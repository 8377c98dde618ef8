// The temperature that text is drawn at, and another draw.
import * as api from "./api.js";
import { $, make, number } from "./dom.js";

const MOST = 1.5, STEP = 0.05;

export function temperature(app) {
  const { facts, store } = app;
  const none = { save: () => ({}), restore() {} };
  if (!facts.sampled) return none;
  const input = make("input", { type: "range", id: "temperature", min: 0, max: MOST, step: STEP, value: 0 });
  const output = make("output", { htmlFor: "temperature" });
  const again = make("button", { type: "button", id: "again", title: "Draw another text from the same code" }, "Draw again");
  function show() {
    const t = api.sampling.temperature;
    input.value = t;
    output.value = t > 0 ? number(t) : "0";
    input.setAttribute("aria-valuetext", t > 0 ? number(t) : "0, the most probable text");
    input.title = t > 0 ? "Text is drawn, token after token" : "The most probable text";
    again.disabled = t === 0;
  }
  function redraw() {
    show();
    store.put({ z: store.z, label: store.label }, { by: "slider temperature" });
    for (const tool of Object.values(app.tools)) tool.redraw?.();
  }
  input.addEventListener("input", () => { api.sampling.temperature = Number(input.value); redraw(); });
  again.addEventListener("click", () => { api.sampling.seed += 1; redraw(); app.say("Another draw."); });
  $("label-row").after(make("p", { className: "condition" }, make("label", { htmlFor: "temperature" }, "Temperature"), input, output), again);
  show();
  return {
    save: () => (api.sampling.temperature > 0 ? { te: api.sampling.temperature, ts: api.sampling.seed } : {}),
    restore(words) {
      const t = Number(words.get("te") ?? 0), seed = Number(words.get("ts") ?? 0);
      Object.assign(api.sampling, { temperature: t >= 0 && t <= MOST ? t : 0, seed: Number.isInteger(seed) && seed >= 0 ? seed : 0 });
      show();
    },
  };
}
