//! Starting from what a log kept, and saying what it is to keep of the definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Broker;
use crate::definitions::{Command, Topology, User};
use crate::ids::{QueueId, Timestamp};
use crate::log::{Entry, Log, Recovered};
use crate::queue::QueueHandle;

impl Broker {
    /// A broker with the definitions and messages that `log` kept; leases of queues start anew at
    /// `now`. The seed as in [`Self::new`].
    pub fn recover(
        log: Arc<dyn Log>,
        seed: [u8; 32],
        mut recovered: Recovered,
        now: Timestamp,
    ) -> Self {
        let mut broker = Self::new(log, seed);
        let mut topology = Topology::clone(&broker.topology());
        let mut dropped = BTreeSet::new();
        let mut without_tags = BTreeSet::new();
        for command in &recovered.commands {
            match command {
                Command::PutUserWithoutTags(user) => drop(without_tags.insert(user.name.clone())),
                Command::PutUser(User { name, .. }) | Command::DeleteUser(name) => {
                    without_tags.remove(name);
                }
                _ => {}
            }
            // What that leaves without a use went by a command of its own.
            let applied = topology.apply(command);
            dropped.extend(applied.schedules.iter().map(|schedule| schedule.spec.id));
        }
        for vhost in topology.vhosts.values() {
            for queue in vhost.queues.values() {
                // Policies may have come after the queue.
                queue.start_with(vhost.policies.settings(&queue.spec, &queue.declared));
            }
        }
        broker.recall(&topology, &mut recovered);
        let queues = topology.vhosts.values().flat_map(|vhost| vhost.all_queues());
        let queues: BTreeMap<QueueId, Arc<QueueHandle>> =
            queues.map(|queue| (queue.spec.id, Arc::clone(queue))).collect();
        let mut last = recovered.last_queue;
        for queue in recovered.queues {
            last = last.max(queue.queue);
            match queues.get(&queue.queue) {
                Some(handle) => handle.recover(queue),
                // The broker stopped between the two.
                None if dropped.contains(&queue.queue) => {
                    broker.log.append(&[Entry::Drop { queue: queue.queue }]);
                }
                None => broker.orphans.push(queue.queue),
            }
        }
        last = queues.keys().copied().fold(last, Ord::max);
        broker.next_id.store(last.0 + 1, Ordering::Relaxed);
        // Those of a version that did not remember.
        let memories = broker.give_memories(&mut topology, None);
        if !memories.is_empty() {
            let entries: Vec<Entry> = memories.into_iter().map(Entry::Define).collect();
            broker.log.append(&entries);
        }
        broker.topology.store(Arc::new(topology));
        broker.grant_what_was(&Vec::from_iter(without_tags));
        for queue in queues.values() {
            let mut batch = queue.lock(broker.context(now));
            batch.touch();
            batch.bound_expiry();
            if queue.is_schedule() {
                batch.want_scan();
            }
            broker.finished(queue, batch.finish(), now);
        }
        broker
    }

    /// Queues of which the log kept messages, but no definition. Nothing of them was deleted.
    pub fn orphans(&self) -> &[QueueId] {
        &self.orphans
    }

    /// The durable definitions, as the commands that rebuild them.
    pub fn definitions(&self) -> Vec<Command> {
        self.with_definitions(<[Command]>::to_vec)
    }

    /// Calls `with` with the durable definitions, as the commands that rebuild them, while nobody
    /// can change them: what of the definitions is in the log behind the end that it has during the
    /// call is not in them, and all before it is.
    pub fn with_definitions<T>(&self, with: impl FnOnce(&[Command]) -> T) -> T {
        let _writer = self.write();
        with(&self.topology().commands())
    }

    /// Before a stop in good order, when all connections are gone: notes that no message is out any
    /// more, so that only those that were come back as redelivered.
    pub fn settle_marks(&self, now: Timestamp) {
        for vhost in self.topology().vhosts.values() {
            for queue in vhost.queues.values().filter(|queue| queue.is_durable()) {
                let mut batch = queue.lock(self.context(now));
                batch.settle_marks();
                self.finished(queue, batch.finish(), now);
            }
        }
    }

    /// Whether there is any user.
    pub fn has_users(&self) -> bool {
        !self.topology().users.is_empty()
    }

    /// Whether there is any vhost.
    pub fn has_vhosts(&self) -> bool {
        !self.topology().vhosts.is_empty()
    }
}
