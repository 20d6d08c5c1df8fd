/**
 * Owns the points of charts: from the samples that the broker sends, or, for what it sends without
 * any, from the readings of this page. Readings are kept for a quarter of an hour, and dropped
 * with the page.
 */

const KEPT_MS = 900_000;

export class History {
  constructor() {
    this.readings = new Map();
  }

  /** The rate of a counter: `stats[key]` with its `_details`, as points a second. */
  rate(name, stats, key, at) {
    const details = stats?.[`${key}_details`];
    const samples = details?.samples;
    if (samples?.length > 1) return slopes(samples);
    return this.note(name, details?.rate, at);
  }

  /** The level of a gauge: `stats[key]`, with the samples of its `_details`. */
  level(name, stats, key, at) {
    const samples = stats?.[`${key}_details`]?.samples;
    if (samples?.length > 1) {
      return [...samples].reverse().map((one) => [one.timestamp, one.sample]);
    }
    return this.note(name, stats?.[key], at);
  }

  /** Notes one reading; gives all that are kept. */
  note(name, value, at) {
    const points = this.readings.get(name) ?? [];
    if (Number.isFinite(value) && at && points[points.length - 1]?.[0] !== at) {
      points.push([at, value]);
      while (points[0][0] < at - KEPT_MS) points.shift();
      this.readings.set(name, points);
    }
    return points;
  }
}

function slopes(samples) {
  const points = [];
  for (let at = samples.length - 1; at > 0; at -= 1) {
    const [before, after] = [samples[at], samples[at - 1]];
    const seconds = (after.timestamp - before.timestamp) / 1000;
    if (seconds <= 0) continue;
    points.push([after.timestamp, Math.max(0, (after.sample - before.sample) / seconds)]);
  }
  return points;
}
