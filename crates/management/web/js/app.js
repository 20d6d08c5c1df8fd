/**
 * Owns the program in the browser: who is signed in, which page is shown, what it reads, and when
 * it is drawn. A page says what it reads and how it looks; see `docs/ui.md`.
 */
import { h, render } from './dom.js';
import { get, onSignedOut, path, query, remove } from './api.js';
import { History } from './history.js';
import { listen } from './keys.js';
import { login } from './login.js';
import { Poller } from './poll.js';
import { here } from './router.js';
import { choose, historyOf, settings } from './settings.js';
import { shell } from './shell.js';
import { toast } from './dialog.js';
import { pageOf } from './pages.js';

const app = {
  user: null,
  page: '',
  vhosts: [],
  menuOpen: false,
  doorState: { busy: false, failure: '' },
  poller: new Poller(
    () => app.draw(),
    () => settings.interval,
  ),

  overview: () => app.poller.entries.get('overview')?.data,
  nodes: () => app.poller.entries.get('nodes')?.data,
  readAt: () =>
    Math.max(0, ...[...app.poller.entries.values()].map((entry) => entry.at ?? 0)) || NaN,

  may(tag) {
    const tags = app.user?.tags ?? [];
    const list = typeof tags === 'string' ? tags.split(',') : tags;
    if (list.includes('administrator')) return true;
    return list.includes(tag);
  },

  menu(open) {
    app.menuOpen = open;
    app.draw();
  },

  door(changes) {
    app.doorState = { ...app.doorState, ...changes };
    app.draw();
  },

  choose(changes) {
    choose(changes);
    if ('interval' in changes) app.poller.tick();
    app.show();
  },

  async enter() {
    app.user = await get('/whoami');
    choose({ entered: true }); // only that there may be a session; the session is in a cookie
    app.doorState = { busy: false, failure: '' };
    await app.readVhosts();
    app.show();
  },

  async readVhosts() {
    try {
      app.vhosts = (await get('/vhosts?columns=name')).map((vhost) => vhost.name).sort();
    } catch {
      app.vhosts = [];
    }
    if (!app.vhosts.includes(settings.vhost)) choose({ vhost: '' });
  },

  async signOut() {
    try {
      await remove('/leveret/session');
    } catch (error) {
      toast(error.message, true);
      return;
    }
    app.leave();
  },

  leave() {
    choose({ entered: false });
    app.poller.stop();
    app.context = null;
    app.user = null;
    app.draw();
  },

  /** Goes to the page that the address names, or has the page know of a change in it. */
  show() {
    if (!app.user) return app.draw();
    const address = here();
    const place = [address.page, ...address.parts].join('\n');
    const before = app.context;
    if (before?.place !== place) {
      before?.page.leave?.(before);
      app.context = newContext(place, address);
      app.menuOpen = false;
      window.scrollTo(0, 0);
    } else before.fields = address.fields;
    app.page = address.page;
    app.reads();
    return app.draw();
  },

  reads() {
    const context = app.context;
    const wanted = { overview: `/overview${query(historyOf('msg_rates', 'lengths'))}` };
    if (app.may('monitoring')) wanted.nodes = `/nodes${query(historyOf('node_stats'))}`;
    for (const [name, target] of Object.entries(context.page.reads?.(context) ?? {})) {
      wanted[`${context.place}\n${name}`] = target;
    }
    app.poller.want(wanted);
  },

  asked: false,
  draw() {
    if (app.asked) return;
    app.asked = true;
    requestAnimationFrame(() => {
      app.asked = false;
      const root = document.getElementById('app');
      if (!app.user || !app.context) render(root, app.starting ? '' : login(app));
      else
        render(
          root,
          shell(app, h('div', { key: app.context.place }, app.context.page.draw(app.context))),
        );
      const title = app.context?.page.title(app.context);
      document.title = title ? `${title} · Leveret` : 'Leveret';
    });
  },
};

// What a page is given: its address, its own state, and what it reads.
function newContext(place, address) {
  const page = pageOf(address);
  const context = {
    app,
    place,
    page,
    parts: address.parts,
    fields: address.fields,
    state: {},
    history: new History(),
    /** Whether this page is still the one that is shown. */
    alive: () => app.context === context,
    /** What was read under a name: `{data, error, at, stale}`. */
    read(name) {
      const own = app.poller.entries.get(`${place}\n${name}`) ?? app.poller.entries.get(name);
      return own ?? { data: undefined, error: null };
    },
    /** Changes the page's own state, and draws it. */
    set(changes) {
      Object.assign(context.state, changes);
      if (!context.alive()) return;
      app.reads();
      app.draw();
    },
    refresh: () => app.poller.refresh(),
    /** A list's path, of the virtual host that is chosen or of all. */
    scoped: (name) => (settings.vhost ? `${path(name, settings.vhost)}` : `/${name}`),
  };
  context.state = page.start?.(context) ?? {};
  return context;
}

onSignedOut(() => {
  if (!app.user) return;
  app.leave();
  app.door({ failure: 'Your session has ended. Sign in again.' });
});
window.addEventListener('hashchange', () => app.show());
listen(() => app.poller.refresh());
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && app.menuOpen) app.menu(false);
});

async function start() {
  app.starting = Boolean(settings.entered);
  app.draw();
  if (!app.starting) return;
  try {
    await app.enter();
  } catch (error) {
    choose({ entered: error.unreachable });
    app.doorState.failure = error.unreachable ? error.message : '';
  }
  app.starting = false;
  app.draw();
}

start();
