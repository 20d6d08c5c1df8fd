/**
 * Owns what a page reads again and again. Each resource has a name and a path; at most one request
 * for it is under way. While the tab is hidden nothing is asked. What was read stays until the
 * next answer, also when the path changes, so that nothing flickers.
 */
import { get } from './api.js';

export class Poller {
  /** `changed` is called after every answer; `interval` gives the seconds between, 0 for never. */
  constructor(changed, interval) {
    this.changed = changed;
    this.interval = interval;
    this.entries = new Map();
    this.unreachable = 0; // since when, ms
    this.timer = null;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.tick();
    });
  }

  /** Reads these from now on, and nothing else: an object of paths by name. */
  want(paths) {
    for (const [name, entry] of this.entries) {
      if (name in paths) continue;
      entry.control?.abort();
      this.entries.delete(name);
    }
    for (const [name, path] of Object.entries(paths)) {
      const entry = this.entries.get(name);
      if (!entry) this.entries.set(name, { path, data: undefined, error: null });
      else if (entry.path !== path) {
        entry.control?.abort();
        Object.assign(entry, { path, control: null, stale: true, error: null });
      } else continue;
      this.fetch(this.entries.get(name));
    }
    this.arm();
  }

  /** Reads everything anew, now. */
  refresh() {
    for (const entry of this.entries.values()) {
      entry.control?.abort();
      entry.control = null;
      this.fetch(entry);
    }
  }

  /** Forgets everything, and asks nothing more. */
  stop() {
    this.want({});
    clearTimeout(this.timer);
    this.timer = null;
  }

  arm() {
    clearTimeout(this.timer);
    const seconds = this.interval();
    // Without an interval a broker that is gone is still looked for.
    if (seconds || this.unreachable) {
      this.timer = setTimeout(() => this.tick(), (seconds || 5) * 1000);
    }
  }

  tick() {
    if (!document.hidden && (this.interval() || this.unreachable)) {
      for (const entry of this.entries.values()) if (!entry.control) this.fetch(entry);
    }
    this.arm();
  }

  async fetch(entry) {
    const control = new AbortController();
    const late = setTimeout(() => control.abort(), 20_000);
    entry.control = control;
    let failure = null;
    try {
      const data = await get(entry.path, control.signal);
      if (entry.control !== control) return;
      const shared = reuse(entry.data, data, 0);
      Object.assign(entry, { data: shared, error: null, stale: false, at: Date.now() });
    } catch (error) {
      if (entry.control !== control) return;
      failure = error;
      if (error.name !== 'AbortError') entry.error = error;
    } finally {
      clearTimeout(late);
      if (entry.control === control) entry.control = null;
    }
    const gone = failure !== null && (failure.unreachable || failure.name === 'AbortError');
    if (!gone) this.unreachable = 0;
    else if (!this.unreachable) {
      this.unreachable = Date.now();
      this.arm();
    }
    this.changed();
  }
}

// What is equal to what was read before becomes the same object again, so that drawing can see at
// once that nothing changed. Not looked into very deeply: clients choose how deep their tables are.
function reuse(before, after, depth) {
  if (before === after || depth > 20) return after;
  if (!before || !after || typeof before !== 'object' || typeof after !== 'object') return after;
  if (Array.isArray(before) !== Array.isArray(after)) return after;
  const names = Object.keys(after);
  let same = names.length === Object.keys(before).length;
  for (const name of names) {
    if (Object.hasOwn(before, name)) after[name] = reuse(before[name], after[name], depth + 1);
    same &&= Object.hasOwn(before, name) && after[name] === before[name];
  }
  return same ? before : after;
}
