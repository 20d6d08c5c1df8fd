/** Owns which page an address shows. One page is one file in `pages/`. */
import { overview } from './pages/overview.js';
import { queues } from './pages/queues.js';
import { queue } from './pages/queue.js';
import { exchanges } from './pages/exchanges.js';
import { exchange } from './pages/exchange.js';
import { connections } from './pages/connections.js';
import { connection } from './pages/connection.js';
import { channels } from './pages/channels.js';
import { channel } from './pages/channel.js';
import { deadLetters } from './pages/dead_letters.js';
import { deadLetterQueue } from './pages/dead_letter_queue.js';
import { policies } from './pages/policies.js';
import { vhosts } from './pages/vhosts.js';
import { users } from './pages/users.js';
import { user } from './pages/user.js';
import { definitions } from './pages/definitions.js';
import { logs } from './pages/logs.js';
import { lost } from './pages/lost.js';

const PAGES = {
  overview: [overview],
  queues: [queues, null, queue],
  exchanges: [exchanges, null, exchange],
  connections: [connections, connection],
  channels: [channels, channel],
  'dead-letters': [deadLetters, null, deadLetterQueue],
  policies: [policies],
  vhosts: [vhosts],
  users: [users, user],
  definitions: [definitions],
  logs: [logs],
};

/** The page of an address. */
export function pageOf({ page, parts }) {
  return (Object.hasOwn(PAGES, page) ? PAGES[page][parts.length] : null) ?? lost;
}
