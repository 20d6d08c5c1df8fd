/**
 * Owns the requests to the broker's HTTP API. The session is a cookie that no script can read;
 * the header tells the broker that a page of its own asks. Errors carry a sentence for a person.
 */

/** What the API refused, or that it could not be reached (`status` 0). */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  /** Whether there was no answer at all, as opposed to a refusal. */
  get unreachable() {
    return this.status === 0 || (this.status >= 502 && this.status <= 504);
  }
}

let signedOut = () => {};

/** Has `then` called when the broker no longer knows the session. */
export function onSignedOut(then) {
  signedOut = then;
}

/** A path below /api from its parts, each a name as it is. The default exchange has a name here. */
export function path(...parts) {
  return `/${parts.map((part) => encodeURIComponent(part)).join('/')}`;
}

/** The name by which a path calls an exchange. */
export const exchangeName = (name) => (name === '' ? 'amq.default' : name);

/** A query from a list of pairs or an object; what is empty is left out. */
export function query(fields) {
  const pairs = (Array.isArray(fields) ? fields : Object.entries(fields)).filter(
    ([, value]) => value !== undefined && value !== null && value !== '',
  );
  const text = new URLSearchParams(pairs).toString();
  return text ? `?${text}` : '';
}

/** Asks, and gives the answer's JSON, or null if it has no body. */
export async function ask(method, target, body, signal) {
  const headers = { 'X-Leveret-UI': '1', accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let answer;
  let text;
  try {
    answer = await fetch(`api${target}`, {
      method,
      headers,
      signal,
      credentials: 'same-origin',
      cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await answer.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The broker does not answer.');
  }
  if (answer.ok) return text ? JSON.parse(text) : null;
  const error = new ApiError(answer.status, sentence(answer.status, text));
  if (error.status === 401 && !refusal(text) && target !== '/leveret/session') signedOut();
  throw error;
}

/** `GET`. */
export const get = (target, signal) => ask('GET', target, undefined, signal);
/** `PUT`. */
export const put = (target, body) => ask('PUT', target, body ?? {});
/** `POST`. */
export const post = (target, body, signal) => ask('POST', target, body, signal);
/** `DELETE`. */
export const remove = (target) => ask('DELETE', target);

// Too low a tag is a 401 as well; its reason tells it from a session that ended.
function refusal(text) {
  return /Not \w+ user|ccess refused/.test(text);
}

function sentence(status, text) {
  let reason = text;
  try {
    const parsed = JSON.parse(text);
    reason =
      typeof parsed.reason === 'string'
        ? parsed.reason
        : JSON.stringify(parsed.reason ?? parsed.error ?? parsed);
  } catch {
    // Not JSON: the text itself is the reason.
  }
  reason = reason.trim().slice(0, 600);
  const missing = [...reason.matchAll(/\{?key_missing,(\w+)/g)].map((found) => found[1]);
  if (missing.length) return `Missing: ${missing.join(', ')}.`;
  if (status === 401 && reason.startsWith('Not ')) {
    return `Your user's tags do not allow this (${reason.replace(/^Not /, 'needs ')}).`;
  }
  if (status === 401 && reason === 'Login failed') return 'The user name or password is wrong.';
  if (status === 404) return 'It is not there (any more).';
  if (status === 413) return 'That is larger than the broker takes.';
  if (status === 429) return `Too many requests. ${reason}`.trim();
  if (status >= 502 && status <= 504) return 'The broker does not answer.';
  return reason || `The broker answered ${status}.`;
}
