// What is shown: the code z and the label. Whoever changes it calls `set`; whoever shows it listens. Knows undo.

export class Store {
  constructor(facts) {
    this.facts = facts;
    this.z = [...facts.centre];
    this.label = facts.label;
    this.past = [];
    this.future = [];
    this.listeners = [];
    this.last = { by: "", at: 0 };
  }

  listen(call) { this.listeners.push(call); }

  // `by` names the gesture: steps of one gesture, close in time, are one step to undo. `pixels` are z decoded already.
  set({ z = this.z, label = this.label }, { by = "", pixels = null, posterior = null } = {}) {
    const now = performance.now();
    if (by === "" || by !== this.last.by || now - this.last.at > 1000) {
      this.past.push({ z: this.z, label: this.label });
      if (this.past.length > 200) this.past.shift();
    }
    this.last = { by, at: now };
    this.future = [];
    this.put({ z: [...z], label }, { pixels, posterior, by });
  }

  put({ z, label }, { pixels = null, posterior = null, by = "" } = {}) {
    this.z = z;
    this.label = this.facts.takes_label ? label : null;
    for (const call of this.listeners) call(pixels, posterior, by);
  }

  step(from, to) {
    if (!from.length) return false;
    to.push({ z: this.z, label: this.label });
    this.last = { by: "", at: 0 };
    this.put(from.pop());
    return true;
  }

  undo() { return this.step(this.past, this.future); }
  redo() { return this.step(this.future, this.past); }
}
