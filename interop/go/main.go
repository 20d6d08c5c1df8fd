// The interop flows with amqp091-go. Usage: AMQP_URL=amqp://… go run . [flow …]
package main

import "slices"

func main() {
	run(slices.Concat(deliveryFlows, routingFlows, reliabilityFlows, tlsFlows(), accessFlows(),
		tokenFlows(), blockedFlows()))
}
