/**
 * Owns the address: `#/page/part/part?field=value`. A part is a name as it is, percent-encoded, so
 * any name of the broker's has an address that can be kept and sent.
 */

/** The address of a page, for `href`. */
export function link(page, parts = [], fields = {}) {
  const query = new URLSearchParams(
    Object.entries(fields).filter(([, value]) => value !== '' && value !== undefined),
  ).toString();
  const names = [page, ...parts.map((part) => encodeURIComponent(part))].join('/');
  return `#/${names}${query ? `?${query}` : ''}`;
}

/** What the address says now: `{page, parts, fields}`. */
export function here() {
  const text = location.hash.replace(/^#\/?/, '');
  const [names, query = ''] = text.split(/\?(.*)/s);
  const [page, ...parts] = names.split('/').map(decode);
  return {
    page: page || 'overview',
    parts,
    fields: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Goes to an address, as a step that Back undoes. */
export function go(address) {
  if (location.hash === address) window.dispatchEvent(new Event('hashchange'));
  else location.hash = address;
}

/** Changes fields of the address in place: no step for Back. An empty one is taken out. */
export function alter(changes) {
  const { page, parts, fields } = here();
  const address = link(page, parts, { ...fields, ...changes });
  history.replaceState(null, '', address);
  window.dispatchEvent(new Event('hashchange'));
}
