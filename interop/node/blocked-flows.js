// The flow through an alarm: publishers are blocked and told so, consumers are not.

import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

import { Consumer, check, equal, eventually, within } from './harness.js';

const ALARM = process.env.ALARM;
const BLOCKED_MS = 1_000; // how soon a publisher learns that it is blocked
const HEARTBEAT_S = 1;

const alarm = (state) => execFileSync(ALARM, [state]);

// Only where the broker is one whose alarm we can raise.
export const blockedFlows = ALARM ? {
  // Blocked within a second, alive beyond two heartbeats, then all that was sent meanwhile.
  async blocked(flow) {
    const connection = await flow.connect({ heartbeat: HEARTBEAT_S });
    const notices = [];
    connection.on('blocked', (reason) => notices.push(`blocked: ${reason}`));
    connection.on('unblocked', () => notices.push('unblocked'));
    const channel = await flow.channel(connection);
    const queue = await flow.queue(channel, 'queue');
    const sent = [];
    const send = () => {
      for (let count = 0; count < 10; count += 1) {
        sent.push(String(sent.length));
        channel.sendToQueue(queue, Buffer.from(sent.at(-1)));
      }
    };
    send();
    await within(channel.waitForConfirms(), 'confirms are missing');
    let inbox;
    try {
      alarm('on');
      const since = performance.now();
      await eventually(() => notices.length, () => 'no connection.blocked came');
      const took = performance.now() - since;
      check(took < BLOCKED_MS, `connection.blocked took ${took} ms`);
      equal(notices, ['blocked: low on memory'], 'notices');
      send();
      inbox = await Consumer.start(await flow.plainChannel(), queue, { noAck: true });
      await inbox.wait(10);
      await sleep(since + HEARTBEAT_S * 3_500 - performance.now());
      equal(inbox.deliveries.length, 10, 'deliveries while blocked');
      equal(flow.errors, [], 'errors while blocked');
    } finally {
      alarm('off');
    }
    await eventually(() => notices.length > 1, () => 'no connection.unblocked came');
    equal(notices.slice(1), ['unblocked'], 'notices');
    send();
    await within(channel.waitForConfirms(), 'confirms are missing');
    await inbox.wait(30);
    equal(inbox.bodies(), sent, 'all that was published');
  },
} : {};
