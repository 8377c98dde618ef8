// One slider a latent, the most informative first. A discrete code is chosen from a list: categories have no order.
import { $, clamp, make, number } from "./dom.js";

const FIRST = 32;
const MOST = 256; // categories in a list; of more, the number is typed

export function sliders(app) {
  const { facts, store } = app;
  const rows = new Map();
  const last = new Map(); // what each row shows: most stay as they are
  let shown = 0;
  const phone = matchMedia("(max-width: 640px)").matches;

  function row(j) {
    const low = facts.low[j], high = facts.high[j], discrete = facts.discrete !== null;
    const step = discrete ? 1 : Number(((high - low) / 140).toPrecision(1));
    const id = `z${j + 1}`;
    const nats = facts.kl === null ? "" : `${number(facts.kl[j])} nats`;
    const name = { id, "aria-label": `Latent ${facts.latents[j]}${nats && `, ${nats}`}` };
    const input = !discrete ? make("input", { type: "range", min: low, max: high, step, ...name })
      : high > MOST ? make("input", { type: "number", min: 0, max: high, step: 1, ...name })
      : make("select", name, ...Array.from({ length: high + 1 }, (_, i) => make("option", { value: String(i) }, String(i))));
    const output = make("output", { htmlFor: id });
    const band = make("div", { className: "band", hidden: true });
    input.addEventListener(discrete ? "change" : "input", () => {
      const z = [...store.z];
      z[j] = discrete ? clamp(Math.round(Number(input.value)), 0, high) : Number(input.value);
      store.set({ z }, { by: `slider ${j}` });
    });
    const box = make("div", { className: discrete ? "slider choice" : "slider" },
      make("label", { htmlFor: id }, facts.latents[j], ...(nats ? [make("small", {}, nats)] : [])),
      make("div", { className: "track" }, input, make("div", { className: "bandbox" }, band)), output);
    return { box, input, output, band, low, high, discrete };
  }

  function more(count) {
    const next = facts.order.slice(shown, shown + count);
    for (const j of next) {
      rows.set(j, row(j));
      $("sliders").append(rows.get(j).box);
    }
    shown += next.length;
    const left = facts.size - shown;
    $("more").hidden = left <= 0;
    $("more").textContent = left > FIRST ? `Show ${FIRST} of ${left} more` : `Show ${left} more`;
    update();
  }

  function update() {
    for (const [j, { input, output, discrete }] of rows) {
      const value = store.z[j];
      if (last.get(j) === value) continue;
      last.set(j, value);
      const text = discrete ? "" : number(value);
      output.value = text;
      if (Number(input.value) !== value) input.value = discrete ? Math.round(value) : value;
      if (discrete) continue;
      input.setAttribute("aria-valuetext", text);
    }
  }

  function posterior(z, sd) {
    for (const [j, { band, low, high }] of rows) {
      band.hidden = sd === null;
      if (sd === null) continue;
      const from = clamp((z[j] - sd[j] - low) / (high - low), 0, 1), to = clamp((z[j] + sd[j] - low) / (high - low), 0, 1);
      band.style.left = `${100 * from}%`;
      band.style.width = `${100 * (to - from)}%`;
      band.title = `posterior ${number(z[j])} ± ${number(sd[j])}`;
    }
  }

  let kept = null;
  $("more").addEventListener("click", () => {
    more(FIRST);
    if (kept !== null) posterior(kept.z, kept.sd);
  });
  const about = facts.kl === null ? "" : "most informative first";
  $("latents-note").textContent = facts.discrete ? `${facts.size} codes, each one of ${facts.discrete.categories} categories` : about;
  more(phone ? 8 : FIRST);
  store.listen((_, found, by) => {
    // The bands stay while sliders are moved about them, and go with the example.
    if (found !== null || (kept !== null && !by.startsWith("slider"))) {
      kept = found;
      posterior(found?.z, found?.sd ?? null);
      app.note(found?.sd ? "Bands under the sliders: the posterior's mean ± one sd." : "");
    }
    update();
  });
  return { focus: () => rows.get(facts.order[0]).input.focus() };
}
