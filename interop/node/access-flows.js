// Flows about who may do what, and how those who may not are told.

import { once } from 'node:events';

import amqp from 'amqplib';

import { URI, check, drain, equal, publish, within } from './harness.js';

const PASSWORD = process.env.USERS_PASSWORD;

function logIn(user, { password = PASSWORD, vhost = '/', proxy = false } = {}) {
  const url = new URL(URI);
  [url.username, url.password, url.pathname] = [user, password, encodeURIComponent(vhost)];
  if (proxy) url.host = process.env.PROXY_ADDRESS;
  return amqp.connect(url.href, { timeout: 10_000 });
}

/** Asserts that the channel on which `user` does `action` is closed, with 403 and this text. */
async function refused(user, text, action) {
  const connection = await logIn(user);
  const channel = await connection.createConfirmChannel();
  const closing = once(channel, 'error');
  action(channel).catch(() => {}); // the event tells more
  const [error] = await within(closing, `${user} was let do it: ${text}`);
  equal(error.code, 403, `reply code of the closing (${error.message})`);
  check(error.message.endsWith(`"ACCESS_REFUSED - ${text} refused for user '${user}'"`),
    `text of the closing: ${error.message}`);
  await connection.close(); // a channel error left it open
}

/** Asserts that the broker does not let the user in, and says why. */
async function keptOut(text, user, options) {
  const reason = await logIn(user, options).then(() => 'let in', (error) => error.message);
  check(reason.includes(text), `${user}: expected ${text}, got ${reason}`);
}

// Only where there are the users.
export const accessFlows = PASSWORD ? {
  // Each permission that is missing is named, and costs the channel only.
  async permissions(flow) {
    const queue = await flow.queue(await flow.channel(), 'queue');
    const missing = flow.unique('missing');
    await refused('no_configure', `configure access to queue '${missing}' in vhost '/'`,
      (channel) => channel.assertQueue(missing));
    await refused('no_configure', `configure access to queue '${queue}' in vhost '/'`,
      (channel) => channel.deleteQueue(queue));
    await refused('no_write', "write access to exchange 'amq.default' in vhost '/'",
      (channel) => publish(channel, '', queue, 'refused'));
    await refused('no_write', `write access to queue '${queue}' in vhost '/'`,
      (channel) => channel.bindQueue(queue, 'amq.direct', 'key'));
    await refused('no_read', `read access to queue '${queue}' in vhost '/'`,
      (channel) => channel.get(queue));
    await refused('no_read', "read access to exchange 'amq.direct' in vhost '/'",
      (channel) => channel.bindQueue(queue, 'amq.direct', 'key'));
    const topic = "topic 'other.key' in exchange topic 'amq.topic' in vhost '/'";
    await refused('topical', `write access to ${topic}`,
      (channel) => publish(channel, 'amq.topic', 'other.key', 'refused'));
    await refused('topical', `read access to ${topic}`,
      (channel) => channel.bindQueue(queue, 'amq.topic', 'other.key'));

    const connection = await logIn('topical');
    const own = await connection.createConfirmChannel();
    await own.bindQueue(queue, 'amq.topic', 'topical.#');
    await publish(own, 'amq.topic', 'topical.key', 'allowed');
    equal(await drain(own, queue), [['topical.key', 'allowed']], 'what came through');
    await connection.close();
  },

  // Wrong passwords, users that are not known, vhosts that are closed to them or not there.
  async logins() {
    const refusal = 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. '
      + 'For details see the broker logfile.';
    await keptOut(refusal, 'no_read', { password: 'x' });
    await keptOut(refusal, 'unknown');
    await keptOut(refusal, 'guest', { password: 'guest', proxy: true });
    // Of vhosts amqplib tells only that the broker closed.
    const closed = 'Expected ConnectionOpenOk; got <ConnectionClose channel:0>';
    await keptOut(closed, 'outsider');
    await keptOut(closed, 'guest', { password: 'guest', vhost: 'missing' });
    await (await logIn('topical', { proxy: true })).close();
  },
} : {};
