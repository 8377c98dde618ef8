// Motion: from what is shown to one test example after another, until a person takes over.
import * as api from "./api.js";
import { $ } from "./dom.js";

const LEG = 1600, REST = 500; // milliseconds from one example to the next, and at each

export function tour(app) {
  const { facts, store } = app;
  const button = $("play");
  button.hidden = facts.n_test === 0 || facts.apart !== null;
  let playing = 0, from = null, to = null, began = 0;

  async function next() {
    from = store.z;
    to = null;
    const { z, label } = await api.get(`api/example?i=${Math.floor(Math.random() * facts.n_test)}`);
    to = { z, label };
    began = performance.now();
  }
  function frame(now) {
    playing = requestAnimationFrame(frame);
    if (to === null || app.drawn !== app.version) return; // the last picture is still on its way
    const t = Math.min(1, Math.max(0, (now - began) / LEG)), s = t * t * (3 - 2 * t);
    if (now - began > LEG + REST) return void next().catch(failed);
    if (t < 1 || store.z.some((v, j) => v !== to.z[j])) store.put({ z: from.map((v, j) => (t === 1 ? to.z[j] : v + s * (to.z[j] - v))), label: t > 0.5 ? to.label ?? store.label : store.label }, { by: "tour" });
  }
  const failed = (error) => { stop(); app.fail(error); };
  function start() {
    if (playing) return;
    playing = requestAnimationFrame(frame);
    button.textContent = "Pause";
    button.setAttribute("aria-pressed", "true");
    next().catch(failed);
  }
  function stop() {
    if (!playing) return;
    cancelAnimationFrame(playing);
    playing = 0;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
  }
  button.addEventListener("click", () => (playing ? stop() : start()));
  for (const kind of ["pointerdown", "keydown", "wheel"]) {
    document.addEventListener(kind, (event) => { if (event.target !== button) stop(); }, { capture: true, passive: true });
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });

  // A page begins on a real example, and, where motion is welcome, in motion.
  return {
    async begin() {
      if (button.hidden) return;
      const { z, label } = await api.get("api/example?i=0");
      store.put({ z, label: label ?? store.label });
      if (!facts.live && facts.pictured && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
    },
  };
}
