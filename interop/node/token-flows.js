// Flows with a bearer token as the password: what it allows, its end, and its renewal.

import { createSign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import amqp from 'amqplib';

import { URI, check, drain, equal, publish, within } from './harness.js';

const KEY = process.env.TOKEN_KEY;
const SCOPES = 'leveret.configure:*/* leveret.write:*/* leveret.read:*/*';

const encoded = (content) => Buffer.from(JSON.stringify(content)).toString('base64url');

function token(lifetimeS, { scopes = SCOPES, user = 'hare' } = {}) {
  const header = { alg: 'RS256', typ: 'JWT', kid: 'interop' };
  const exp = Math.floor(Date.now() / 1000) + lifetimeS;
  const message = `${encoded(header)}.${encoded({ sub: user, aud: 'leveret', scope: scopes, exp })}`;
  const signature = createSign('SHA256').update(message).sign(readFileSync(KEY));
  return `${message}.${signature.toString('base64url')}`;
}

/** A connection by token; what the broker says when it closes it comes with the event `close`. */
async function connect(secret) {
  const credentials = amqp.credentials.plain('', secret);
  const connection = await amqp.connect(URI, { timeout: 10_000, credentials });
  return connection.on('error', () => {});
}

// Only where there is the key that signs tokens.
export const tokenFlows = KEY ? {
  // A good token opens a connection, one that has expired or is somebody else's does not.
  async token_login(flow) {
    const good = token(60);
    const connection = await connect(good);
    const channel = await connection.createConfirmChannel();
    const queue = await flow.queue(channel, 'queue');
    await publish(channel, '', queue, 'by token');
    equal(await drain(channel, queue), [[queue, 'by token']], 'what came back');
    await connection.close();
    for (const bad of [token(-1), `${good.slice(0, -8)}AAAAAAAA`]) {
      const reason = await connect(bad).then(() => 'let in', (error) => error.message);
      check(reason.includes('ACCESS_REFUSED'), `a bad token: ${reason}`);
    }
  },

  // What no scope allows closes the channel with 403.
  async token_scopes(flow) {
    const connection = await connect(token(60, { scopes: 'leveret.configure:*/mine.*' }));
    const channel = await connection.createChannel();
    await channel.assertQueue(`mine.${flow.unique('queue')}`, { exclusive: true });
    const closing = once(channel, 'error');
    channel.assertQueue('yours.interop', { exclusive: true }).catch(() => {});
    const [error] = await within(closing, 'the queue was declared');
    equal(error.code, 403, 'the reply code');
    check(error.message.includes("refused for user 'hare'"), error.message);
    await connection.close();
  },

  // A token that ends closes its connection; one that was renewed in time lives on.
  async token_expiry(flow) {
    const [ends, renewed] = [await connect(token(3)), await connect(token(3))];
    const end = once(ends, 'close');
    await renewed.updateSecret(Buffer.from(token(60)), 'about to expire');
    const [reason] = await within(end, 'the connection was not closed');
    check(reason.message.includes('CONNECTION_FORCED - credential expired'),
      `the close: ${reason.message}`);
    await sleep(500);
    await flow.queue(await renewed.createChannel(), 'renewed');
    const other = once(renewed, 'error');
    renewed.updateSecret(Buffer.from(token(60, { user: 'fox' })), 'another user').catch(() => {});
    const [refusal] = await within(other, "the other user's token was taken");
    equal(refusal.code, 530, 'the reply code');
  },
} : {};
