// One slider a latent, the most informative first. A discrete code is chosen from a list: categories have no order.
import * as api from "./api.js";
import { $, clamp, example, make, number, paint } from "./dom.js";

const FIRST = 32;
const MOST = 256; // categories in a list; of more, the number is typed

export function sliders(app) {
  const { facts, store } = app;
  const rows = new Map();
  const last = new Map(); // what each row shows: most stay as they are
  let kept = null; // the example's posterior, whose bands are shown
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
    const along = make("canvas", { className: "along", hidden: true, "aria-hidden": "true", width: 1, height: 1 });
    const box = make("div", { className: discrete ? "slider choice" : "slider" },
      make("label", { htmlFor: id }, facts.latents[j], ...(nats ? [make("small", {}, nats)] : [])),
      make("div", { className: "track" }, input, make("div", { className: "bandbox" }, band), along), output);
    return { box, along, input, output, band, low, high, discrete };
  }

  // The latents of a layer, or all of them: the most informative first, some at once. A layer can be folded away.
  function section(group) {
    const among = group && new Set(group.latents), list = facts.order.filter((j) => !among || among.has(j));
    const holder = make("div"), button = group ? make("button", { type: "button" }) : $("more");
    let shown = 0;
    function more(count) {
      const next = list.slice(shown, shown + count);
      for (const j of next) {
        rows.set(j, row(j));
        holder.append(rows.get(j).box);
      }
      shown += next.length;
      const left = list.length - shown;
      button.hidden = left <= 0;
      button.textContent = left > FIRST ? `Show ${FIRST} of ${left} more` : `Show ${left} more`;
      update();
      if (kept !== null) posterior(kept.z, kept.sd);
    }
    button.onclick = () => more(FIRST);
    let box = holder;
    if (group) {
      const nats = facts.kl === null ? "" : ` · ${number(list.reduce((sum, j) => sum + facts.kl[j], 0))} nats`;
      box = make("details", { className: "layer" }, make("summary", {}, group.name, make("small", {}, `${list.length} latents${nats}`)), holder, button);
      box.addEventListener("toggle", () => { if (box.open && !shown) more(FIRST); });
    }
    return { box, open(count) { box.open = true; more(count); } };
  }
  function build(count) {
    const sections = (facts.groups.length ? facts.groups : [null]).map(section);
    $("more").hidden ||= facts.groups.length > 0;
    $("sliders").replaceChildren(...sections.map(({ box }) => box));
    for (const one of sections) { // the coarsest layers are open, as many as the page has room for
      if (rows.size >= count) break;
      one.open(count - rows.size);
    }
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

  // -- pictures along the first sliders: what each would show at seven places, when nothing has moved for a moment --------

  const FRAMES = 7, PICTURED = 12, thumbs = $("thumbs");
  let wanted = null;
  try { wanted = localStorage.getItem("vaekit-pictures"); } catch { /* storage may be off */ }
  let on = facts.image && facts.discrete === null && (wanted === null ? !phone : wanted === "on"), soon = 0;
  thumbs.hidden = !facts.image || facts.discrete !== null;
  thumbs.addEventListener("click", () => {
    on = !on;
    try { localStorage.setItem("vaekit-pictures", on ? "on" : "off"); } catch { /* storage may be off */ }
    pictures();
  });
  const fill = api.latest(async () => {
    const first = [...rows].slice(0, PICTURED), z = store.z, places = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
    const codes = first.flatMap(([j, { low, high }]) => places.map((t) => z.map((v, k) => (k === j ? low + t * (high - low) : v))));
    const decoded = await api.decode(codes, store.label), one = make("canvas"), step = facts.width + Math.max(1, Math.round(facts.width / 8));
    first.forEach(([, { along }], r) => {
      Object.assign(along, { hidden: !on, width: (FRAMES - 1) * step + facts.width, height: facts.height });
      const context = along.getContext("2d");
      places.forEach((_, i) => { paint(one, facts, example(facts, decoded, r * FRAMES + i)); context.drawImage(one, i * step, 0); });
    });
  }, app.fail);
  function pictures() {
    clearTimeout(soon);
    thumbs.setAttribute("aria-pressed", String(on));
    for (const { along } of rows.values()) if (!on) along.hidden = true;
    if (on) soon = setTimeout(fill, 180);
  }

  const first = phone ? 8 : FIRST;
  // Of a run in training: how much each tells by now, unless a person is at them.
  function renew() {
    if ($("sliders").contains(document.activeElement)) return;
    const count = Math.max(rows.size, first);
    rows.clear();
    last.clear();
    build(count);
  }
  const about = facts.kl === null ? "" : "most informative first";
  $("latents-note").textContent = facts.discrete ? `${facts.size} codes, each one of ${facts.discrete.categories} categories` : about;
  build(first);
  store.listen((_, found, by) => {
    // The bands stay while sliders are moved about them, and go with the example.
    if (found !== null || (kept !== null && !by.startsWith("slider"))) {
      kept = found;
      posterior(found?.z, found?.sd ?? null);
      app.note(found?.sd ? "Bands under the sliders: the posterior's mean ± one sd." : "");
    }
    update();
    pictures();
  });
  return { renew, focus: () => $("sliders").querySelector("input, select").focus() };
}
