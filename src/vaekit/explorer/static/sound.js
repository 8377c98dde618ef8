// Hearing sound: one player for all, which says what it plays.
import * as api from "./api.js";
import { $, download, make } from "./dom.js";

// Sets `app.hear(name, get)`, which plays the WAV file that `get` fetches.
export function sound(app) {
  const { facts, store } = app;
  if (!facts.sound) return;
  const audio = make("audio", { id: "sound", controls: true, hidden: true, "aria-label": "Sound" }), what = make("span", { id: "sound-name", className: "soft" });
  const begin = api.turns();
  let url = "", ofCode = false;

  function clear() {
    begin();
    audio.pause();
    audio.hidden = true;
    what.textContent = "";
  }
  app.hear = (name, get) => app.attempt(async () => {
    const newest = begin();
    const blob = await get();
    if (!newest()) return;
    ofCode = name === DECODED;
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(blob);
    audio.src = url;
    audio.hidden = false;
    what.textContent = name;
    audio.setAttribute("aria-label", `Sound: ${name}`);
    app.say(`Playing: ${name}.`);
    await audio.play().catch(() => app.say("Press play to hear it.")); // a browser may want another press
  });
  const decoded = () => api.sound(store.z, store.label);
  const listen = make("button", { type: "button", id: "hear", title: "Hear what is shown (H)", onclick: () => app.hear(DECODED, decoded) }, "Hear it");
  const save = make("button", { type: "button", id: "save-wav", title: "Save what is shown as a WAV file", onclick: () => app.attempt(async () => download(await decoded(), "vaekit.wav")) }, "Save WAV");
  $("save-npz").after(listen, save);
  $("label-row").parentElement.append(make("div", { className: "sound" }, audio, what));
  store.listen(() => { if (ofCode && !audio.hidden) clear(); }); // it is of another code than is shown
}
const DECODED = "decoded";
