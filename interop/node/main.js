// The interop flows with amqplib. Usage: AMQP_URL=amqp://… node main.js [flow …]

import { accessFlows } from './access-flows.js';
import { blockedFlows } from './blocked-flows.js';
import { deliveryFlows } from './delivery-flows.js';
import { run } from './harness.js';
import { reliabilityFlows } from './reliability-flows.js';
import { routingFlows } from './routing-flows.js';
import { tlsFlows } from './tls-flows.js';
import { tokenFlows } from './token-flows.js';

await run({
  ...deliveryFlows, ...routingFlows, ...reliabilityFlows, ...tlsFlows, ...accessFlows,
  ...tokenFlows, ...blockedFlows,
});
