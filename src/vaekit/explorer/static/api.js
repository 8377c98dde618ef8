// Requests to the server that the page came from, and no other. Every failure becomes one sentence for the person.

export class Failure extends Error {}
export class Gone extends Failure {}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Gone("The explorer's server does not answer. Is “vaekit explore” still running?");
  }
  if (response.ok) return response;
  let reason = `The server answered ${response.status}.`;
  try {
    reason = (await response.json()).error ?? reason;
  } catch { /* no JSON: the status must do */ }
  throw new Failure(reason.charAt(0).toUpperCase() + reason.slice(1) + (/[.!?]$/.test(reason) ? "" : "."));
}

const asJson = (value) => ({
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value),
});
const asBytes = (body) => ({ method: "POST", headers: { "content-type": "application/octet-stream" }, body });

export const get = async (path) => (await answer(path)).json();
export const post = async (path, value) => (await answer(path, asJson(value))).json();
export const postBytes = async (path, body) => (await answer(path, asBytes(body))).json();
export const raw = async (path) => (await answer(path)).arrayBuffer();
export const floats = async (path) => {
  const response = await answer(path);
  return { values: new Float32Array(await response.arrayBuffer()), low: decodeURIComponent(response.headers.get("x-low")), high: decodeURIComponent(response.headers.get("x-high")) };
};
// How text is drawn from a code: at temperature 0 the most probable is taken.
export const sampling = { temperature: 0, seed: 0 };
const decoded = (rows, label) => asJson({ z: rows, label, ...(sampling.temperature > 0 ? sampling : {}) });
export const decode = async (rows, label) => (await answer("api/decode", decoded(rows, label))).arrayBuffer();
export const sound = async (z, label) => (await answer("api/sound", asJson({ z, label }))).blob();
export const heard = async (index) => (await answer(`api/heard?i=${index}`)).blob();
export const file = async (rows, label) => (await answer("api/save", decoded(rows, label))).blob();

// The map is made while the page is already in use: ask again until it is there.
export async function points(progress, path = "api/map") {
  for (;;) {
    const response = await answer(path);
    if (response.status !== 202) {
      const n = Number(response.headers.get("x-count"));
      const bytes = await response.arrayBuffer();
      const labelled = response.headers.get("x-labels") === "1";
      return { n, xy: new Float32Array(bytes, 0, 2 * n), labels: labelled ? new Int16Array(bytes, 8 * n, n) : null };
    }
    progress(await response.json());
    await new Promise((done) => setTimeout(done, 300));
  }
}

// Answers may come in another order than they were asked for: `begin()` starts a piece of work and returns a function
// that tells whether it is still the newest one, and so may be shown.
export function turns() {
  let newest = 0;
  return function begin() {
    const mine = ++newest;
    return () => mine === newest;
  };
}

// Calls `work` at once; calls made while it runs become one more call, with the newest arguments.
export function latest(work, failed) {
  let busy = false;
  let next = null;
  return async function call(...args) {
    next = args;
    if (busy) return;
    busy = true;
    try {
      while (next !== null) {
        const now = next;
        next = null;
        await work(...now);
      }
    } catch (error) {
      failed(error);
    } finally {
      busy = false;
      if (next !== null) call(...next);
    }
  };
}
