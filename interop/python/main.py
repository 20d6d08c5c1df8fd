"""The interop flows with pika. Usage: AMQP_URL=amqp://… python main.py [flow …]"""

import access_flows
import blocked_flows
import delivery_flows
import harness
import reliability_flows
import routing_flows
import tls_flows
import token_flows
import trace_flows

harness.run(delivery_flows.FLOWS + routing_flows.FLOWS + reliability_flows.FLOWS
            + tls_flows.FLOWS + access_flows.FLOWS + blocked_flows.FLOWS + token_flows.FLOWS
            + trace_flows.FLOWS)
