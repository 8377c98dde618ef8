// Sliders and a latent map over the decoder that the page holds: nothing is fetched, everything is computed here.
(() => {
  const root = document.getElementById("decoder");
  const { program, facts } = JSON.parse(document.getElementById("decoder-facts").textContent);
  const bytes = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0)).buffer;
  const decode = interpreter(program, bytes("decoder-weights"));
  const size = facts.latents.length, stored = new DataView(bytes("decoder-codes"));
  const codes = Float64Array.from({ length: stored.byteLength / 2 }, (_, i) => float16(stored.getUint16(2 * i, true)));
  const count = codes.length / size, code = (i) => Array.from(codes.subarray(i * size, (i + 1) * size));
  const COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }
  const number = (value) => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2).replace("-", "−");
  const project = (z) => facts.axes.map((axis) => axis.reduce((sum, a, j) => sum + a * (z[j] - facts.centre_of_map[j]), 0));
  const lift = (at, z) => { // what the map does not show stays as it is in z
    const own = project(z);
    return z.map((v, j) => v + (at[0] - own[0]) * facts.axes[0][j] + (at[1] - own[1]) * facts.axes[1][j]);
  };

  // -- what is shown ------------------------------------------------------------------------------------------------

  let z = count ? code(0) : [...facts.centre], label = facts.labels[0] >= 0 && facts.classes.length ? facts.labels[0] : 0, playing = 0;
  const picture = make("canvas", { className: "decoded", width: facts.width, height: facts.height, role: "img", "aria-label": "Decoded picture" });
  const pen = picture.getContext("2d", { willReadFrequently: true });
  const pixels = pen.createImageData(facts.width, facts.height), rgba = pixels.data.fill(255);

  function draw() {
    const before = performance.now(), area = facts.width * facts.height;
    const values = decode(...(facts.takes_label ? [z, facts.classes.map((_, c) => +(c === label))] : [z]));
    for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) rgba[4 * i + c] = roundEven(values[(facts.channels === 3 ? c : 0) * area + i]);
    pen.putImageData(pixels, 0, 0);
    picture.dataset.took = performance.now() - before;
    for (const [j, [input, output]] of rows) {
      if (Number(input.value) !== z[j]) input.value = z[j];
      output.value = number(z[j]);
    }
    mark();
  }
  const go = (to, chosen = label) => { z = [...to]; label = chosen; if (select) select.value = String(label); draw(); };

  // -- sliders --------------------------------------------------------------------------------------------------------

  const rows = new Map(), list = make("div"), FIRST = 10;
  function slider(j) {
    const [low, high] = [facts.low[j], facts.high[j]], id = `latent-${j}`, nats = facts.kl ? `${number(facts.kl[j])} nats` : "";
    const input = make("input", { type: "range", id, min: low, max: high, step: "any", "aria-label": `Latent ${facts.latents[j]}${nats && `, ${nats}`}` });
    const output = make("output", { htmlFor: id });
    input.addEventListener("input", () => { stop(); z[j] = Number(input.value); draw(); });
    rows.set(j, [input, output]);
    list.append(make("div", { className: "slide" }, make("label", { htmlFor: id }, facts.latents[j], make("small", {}, nats)), input, output));
  }
  facts.order.slice(0, FIRST).forEach(slider);
  const more = make("button", { type: "button", hidden: size <= FIRST, onclick: () => { facts.order.slice(FIRST).forEach(slider); more.hidden = true; draw(); } }, `Show ${size - FIRST} more`);

  // -- buttons --------------------------------------------------------------------------------------------------------

  const play = make("button", { type: "button", "aria-pressed": "false", onclick: () => (playing ? stop() : start()) }, "Play");
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  // From where it stands to one example after the other; a second and a half each.
  function start() {
    let from = [...z], next = Math.floor(Math.random() * count), began = performance.now();
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    const frame = (now) => {
      const t = Math.min(1, Math.max(0, (now - began) / 1500)), s = t * t * (3 - 2 * t), to = code(next);
      z = from.map((v, j) => v + s * (to[j] - v));
      draw();
      if (t === 1) { from = to; next = Math.floor(Math.random() * count); began = now + 400; }
      playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
  }
  let at = 0;
  const another = () => { stop(); at = (at + 1) % count; go(code(at), facts.takes_label && facts.labels.length ? facts.labels[at] : label); };
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const select = facts.takes_label ? make("select", { "aria-label": "Label", onchange: () => { stop(); go(z, Number(select.value)); } },
    ...facts.classes.map((name, c) => make("option", { value: String(c), selected: c === label }, name))) : null;
  const buttons = make("div", { className: "buttons" }, ...(count ? [play, make("button", { type: "button", onclick: another }, "Another example")] : []),
    ...(facts.normal ? [make("button", { type: "button", onclick: () => { stop(); go(z.map(normal)); } }, "Draw from the prior")] : []),
    make("button", { type: "button", onclick: () => { stop(); go(facts.centre); } }, "Middle"), ...(select ? [make("label", {}, "Label ", select)] : []));

  // -- the map --------------------------------------------------------------------------------------------------------

  const map = make("canvas", { className: "map", tabIndex: 0, role: "application", "aria-label": "Latent map: press or drag to decode a place; arrow keys move it" });
  const dots = Array.from({ length: count }, (_, i) => project(code(i)));
  const ends = [0, 1].map((a) => { const all = dots.map((dot) => dot[a]), low = Math.min(...all), high = Math.max(...all), edge = 0.06 * (high - low || 1); return [low - edge, high + edge]; });
  const place = (uv) => [(uv[0] - ends[0][0]) / (ends[0][1] - ends[0][0]) * map.width, (ends[1][1] - uv[1]) / (ends[1][1] - ends[1][0]) * map.height];
  let backdrop = null;
  function scatter() {
    const ratio = devicePixelRatio || 1, box = map.getBoundingClientRect();
    Object.assign(map, { width: Math.max(1, box.width * ratio), height: Math.max(1, box.height * ratio) });
    backdrop = make("canvas", { width: map.width, height: map.height });
    const context = backdrop.getContext("2d");
    dots.forEach((dot, i) => {
      const [x, y] = place(dot);
      context.fillStyle = facts.labels.length ? COLOURS[Math.max(0, facts.labels[i]) % COLOURS.length] : COLOURS[0];
      context.globalAlpha = 0.75;
      context.beginPath();
      context.arc(x, y, 2.4 * ratio, 0, 7);
      context.fill();
    });
    mark();
  }
  function mark() {
    if (!backdrop) return;
    const context = map.getContext("2d"), [x, y] = place(project(z)), ratio = devicePixelRatio || 1;
    context.clearRect(0, 0, map.width, map.height);
    context.drawImage(backdrop, 0, 0);
    for (const [colour, width] of [["#fff", 5], ["#111", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.arc(x, y, 7 * ratio, 0, 7);
      context.stroke();
    }
  }
  function to(event) {
    const box = map.getBoundingClientRect(), share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const uv = [ends[0][0] + share[0] * (ends[0][1] - ends[0][0]), ends[1][1] - share[1] * (ends[1][1] - ends[1][0])];
    // What the map does not show is taken from the nearest example, so that every place decodes to something likely.
    let near = 0, least = Infinity;
    dots.forEach((dot, i) => { const d = (dot[0] - uv[0]) ** 2 + (dot[1] - uv[1]) ** 2; if (d < least) { least = d; near = i; } });
    stop();
    at = near;
    go(lift(uv, code(near)), facts.takes_label && facts.labels.length ? facts.labels[near] : label);
  }
  map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); to(event); });
  map.addEventListener("pointermove", (event) => { if (event.buttons) to(event); });
  map.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    stop();
    const own = project(z);
    go(lift(own.map((v, a) => v + way[a] * (ends[a][1] - ends[a][0]) / 60), z));
  });
  const legend = make("div", { className: "legend" }, ...(facts.labels.length ? facts.classes : []).map((name, c) => {
    const dot = make("canvas", { width: 10, height: 10 }), context = dot.getContext("2d");
    context.fillStyle = COLOURS[c % COLOURS.length];
    context.fillRect(0, 0, 10, 10);
    return make("span", {}, dot, name);
  }));

  root.append(make("div", {}, picture, buttons), make("div", {}, list, more), ...(count ? [make("div", {}, map, legend)] : []));
  root.hidden = false;
  document.getElementById("decoder-off").hidden = true;
  if (count) new ResizeObserver(scatter).observe(map);
  draw();
  if (count && !calm.matches && facts.moving) start();
})();
