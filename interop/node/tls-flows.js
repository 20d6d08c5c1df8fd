// Flows over TLS: a server that is verified, a client's certificate, and who is refused.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import amqp from 'amqplib';

import { check, drain, equal, publish, within } from './harness.js';

const URI = process.env.AMQPS_URL;

const file = (name) => readFileSync(join(process.env.TLS_DIR, name));

function connect({ authority = 'ca.pem', identity, credentials } = {}) {
  const own = identity && { cert: file(`${identity}.pem`), key: file(`${identity}.key`) };
  return amqp.connect(URI, { ca: [file(authority)], timeout: 10_000, credentials, ...own });
}

/** Publishes, is confirmed, and takes it all back: small messages and one of many records. */
async function exchangeMessages(connection) {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const bodies = Array.from({ length: 100 }, (_, number) => String(number));
  bodies.push(randomBytes(1 << 19).toString('hex'));
  for (const body of bodies) await publish(channel, '', queue, body);
  equal((await drain(channel, queue)).map(([, body]) => body), bodies, 'what came back');
  await connection.close();
}

// Only where there is a listener for TLS.
export const tlsFlows = URI ? {
  // A server whose certificate is verified; logged in by password.
  async verified_server() {
    await exchangeMessages(await connect());
  },

  // Logged in by a certificate alone.
  async external() {
    const credentials = amqp.credentials.external();
    await exchangeMessages(await connect({ identity: 'client', credentials }));
  },

  // The client refuses a server of another authority, the server such a client.
  async strangers() {
    for (const stranger of [{ authority: 'other-ca.pem' }, { identity: 'other-client' }]) {
      const connection = await connect(stranger).catch(() => null);
      check(connection === null, `${JSON.stringify(stranger)} was not refused`);
    }
  },

  // A close right behind 10,000 publishes overtakes none of them, and is answered.
  async close_behind_publishes(flow) {
    const connection = await connect();
    const channel = await connection.createChannel();
    const other = await flow.channel();
    const queue = await flow.queue(other, 'queue');
    for (let number = 0; number < 10_000; number += 1) {
      channel.sendToQueue(queue, Buffer.from(String(number)));
    }
    // amqplib itself sends a connection's close before what its channels have not sent yet.
    await within(channel.close(), "the channel's close was not answered");
    await within(connection.close(), 'the close was not answered');
    equal((await other.checkQueue(queue)).messageCount, 10_000, 'messages');
  },
} : {};
