//! Dead-lettering: what died in a queue by rejection, expiry or a limit is published again to the
//! queue's dead-letter exchange (RabbitMQ: Dead Letter Exchanges).

use super::Broker;
use super::departures::Copies;
use crate::ids::Timestamp;
use crate::message::{Burial, Message};
use crate::queue::{DeathReason, QueueHandle};
use crate::routing::{RoutingInput, route};

impl Broker {
    /// A dead message as a letter, for each queue that its dead-letter exchange finds.
    pub(super) fn dead_letters(
        &self,
        queue: &QueueHandle,
        message: &Message,
        reason: DeathReason,
        now: Timestamp,
    ) -> Copies {
        let settings = queue.settings();
        let topology = self.topology();
        let (Some(exchange), Some(vhost)) =
            (&settings.dead_letter_exchange, topology.vhosts.get(&queue.spec.vhost))
        else {
            return Vec::new();
        };
        let buried = message.bury(&Burial {
            queue: &queue.spec.name,
            reason: reason.name(),
            exchange,
            routing_key: settings.dead_letter_routing_key.as_deref(),
            now_secs: now.0 / 1000,
        });
        let input = RoutingInput {
            routing_key: buried.message.routing_key(),
            extra_keys: &buried.extra_keys,
            message: Some(&buried.message),
            now,
        };
        let mut targets = Vec::new();
        let routed = route(vhost, exchange, &input);
        self.count_memory(routed.history_bytes);
        for target in routed.queues {
            let message = &buried.message;
            let goes_round = || !target.is_schedule() && message.died_in_cycle(&target.spec.name);
            if reason == DeathReason::Rejected || !goes_round() {
                targets.push((target, message.clone()));
            }
        }
        targets
    }
}
