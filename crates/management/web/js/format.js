/** Owns how numbers, sizes, times and AMQP values are written for a person. */

const whole = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hourCycle: 'h23' });
const calendar = new Intl.DateTimeFormat(undefined, {
  dateStyle: 'medium',
  timeStyle: 'medium',
  hourCycle: 'h23',
});

/** A count with thousands set apart; a dash if it is not known. */
export function count(value) {
  return Number.isFinite(value) ? whole.format(Math.round(value)) : '–';
}

/** `1 queue`, `2 queues`. */
export function counted(value, noun, plural = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** A count in few characters: 950, 12.3k, 4.56M. */
export function brief(value) {
  if (!Number.isFinite(value)) return '–';
  for (const [unit, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ]) {
    if (Math.abs(value) >= unit * 10 || (unit > 1e3 && Math.abs(value) >= unit)) {
      return `${trim(value / unit)}${letter}`;
    }
  }
  return Math.abs(value) >= 100 ? whole.format(Math.round(value)) : trim(value);
}

function trim(value) {
  const digits = Math.abs(value) >= 100 ? 0 : 1;
  return value.toFixed(digits).replace(/\.0$/, '');
}

/** Messages a second. */
export function rate(value) {
  return Number.isFinite(value) ? `${brief(value)}/s` : '–';
}

/** A size in binary units. */
export function bytes(value) {
  if (!Number.isFinite(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let size = value;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(size) : trim(size)} ${units[unit]}`;
}

/** A duration, from milliseconds, in its one or two largest units. */
export function span(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400)
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** A time of day, from milliseconds since 1970. */
export const time = (ms) => (Number.isFinite(ms) ? clock.format(ms) : '–');
/** A date and time, from milliseconds since 1970. */
export const date = (ms) => (Number.isFinite(ms) ? calendar.format(ms) : '–');

/** An AMQP value as one line of text. */
export function value(of) {
  if (of === null || of === undefined) return '–';
  return typeof of === 'object' ? JSON.stringify(of) : String(of);
}

/** The name of an exchange for a person. */
export const exchangeLabel = (name) => (name === '' ? '(default exchange)' : name);
