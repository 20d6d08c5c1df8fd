//! Policies on queues and exchanges that are there, and after a restart.

use super::*;
use crate::definitions::{PolicyKind, PolicyRequest, QuotaOf, UserLimits, VhostLimits};
use crate::definitions::{QueueSettings, Quota};
use crate::error::RefusalKind;
use crate::routing::{RoutingInput, route};

fn int(number: i64) -> FieldValue {
    FieldValue::I64(number)
}

impl World {
    fn put(&self, kind: PolicyKind, name: &str, definition: &[(&str, FieldValue)]) {
        let fields = definition.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let request = PolicyRequest {
            pattern: "^q",
            apply_to: "all",
            definition: FieldTable(fields.collect()),
            priority: 0,
        };
        self.broker.put_policy(kind, "/", name, &request, self.now).unwrap();
    }

    fn put_user_policy(&self, definition: &[(&str, FieldValue)]) {
        self.put(PolicyKind::Policy, "p", definition);
    }

    fn delete_policy(&self) {
        self.broker.delete_policy(PolicyKind::Policy, "/", "p", self.now).unwrap();
    }

    fn ready(&self, queue: &str) -> usize {
        self.queue(queue).counts().ready
    }
}

#[test]
fn a_length_limit_drops_at_once_and_dead_letters() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.declare("dead", true, &[]);
    world.publish("q", &["a", "b", "c", "d"]);
    world.put_user_policy(&[
        ("max-length", int(1)),
        ("dead-letter-exchange", text("")),
        ("dead-letter-routing-key", text("dead")),
    ]);
    assert_eq!((world.ready("q"), world.ready("dead")), (1, 3));
    assert_eq!(world.get("q").unwrap(), "d");
    world.delete_policy();
    world.publish("q", &["e", "f"]);
    assert_eq!(world.ready("q"), 2);
    assert_eq!(world.crashed().ready("q"), 2);
}

#[test]
fn a_limit_that_is_lowered_far_is_met_in_several_steps() {
    let world = World::new();
    world.declare("q", false, &[]);
    let message = persistent("a", None);
    world.publish_to(&["q"], &vec![message; 10_000]);
    world.put_user_policy(&[("max-length", int(10))]);
    assert_eq!(world.ready("q"), 10);
}

#[test]
fn a_time_to_live_counts_from_its_change_for_what_is_there() {
    let mut world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["a"]);
    world.publish_to(&["q"], &[persistent("b", Some(10))]);
    world.put_user_policy(&[("message-ttl", int(100))]);
    world.publish("q", &["c"]);
    assert_eq!(world.ready("q"), 3);
    world.now = world.now.after(99);
    world.broker.tick(world.now);
    assert_eq!(world.ready("q"), 2, "only what had a time of its own is due");
    world.now = world.now.after(1);
    world.broker.tick(world.now);
    assert_eq!(world.ready("q"), 0);
}

#[test]
fn a_time_to_live_that_goes_again_spares_what_was_there_before() {
    let mut world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["before"]);
    world.put_user_policy(&[("message-ttl", int(100))]);
    world.delete_policy();
    world.now = world.now.after(1000);
    world.broker.tick(world.now);
    assert_eq!(world.get("q").unwrap(), "before");
}

#[test]
fn a_time_to_live_holds_after_a_restart_for_what_was_there_before_it() {
    let mut world = World::new();
    world.declare("q", true, &[]);
    world.publish("q", &["a"]);
    world.put_user_policy(&[("message-ttl", int(100))]);
    world = world.crashed();
    world.load_all();
    assert_eq!(world.ready("q"), 1);
    world.now = world.now.after(100);
    world.broker.tick(world.now);
    assert_eq!(world.ready("q"), 0);
}

#[test]
fn a_lease_begins_with_its_policy() {
    let mut world = World::new();
    world.declare("q", true, &[]);
    world.now = world.now.after(5000);
    world.put_user_policy(&[("expires", int(1000))]);
    world.now = world.now.after(999);
    world.broker.tick(world.now);
    assert!(world.broker.find_queue(&world.who, "q").is_ok());
    world.now = world.now.after(1);
    world.broker.tick(world.now);
    assert!(world.broker.find_queue(&world.who, "q").is_err());
}

#[test]
fn overflow_and_operator_policy_hold_for_the_next_publish() {
    let world = World::new();
    world.declare("q", true, &[("x-max-length", int(5))]);
    world.put_user_policy(&[("overflow", text("reject-publish")), ("max-length", int(4))]);
    world.put(PolicyKind::Operator, "o", &[("max-length", int(2))]);
    world.publish("q", &["a", "b", "c"]);
    assert_eq!(world.ready("q"), 2);
    assert_eq!(world.get("q").unwrap(), "a");
    let applied = world.broker.queue_policy("/", "q").unwrap();
    assert_eq!(applied.policy.as_deref(), Some("p"));
    assert_eq!(applied.operator_policy.as_deref(), Some("o"));
    assert_eq!(applied.definition.get("max-length"), Some(&int(2)));
    assert_eq!(world.broker.exchange_policy("/", "amq.topic").unwrap().policy, None);
}

#[test]
fn an_alternate_exchange_comes_and_goes() {
    let world = World::new();
    world.exchange("q-source", true);
    world.exchange("spare", true);
    world.declare("target", true, &[]);
    world.bind("spare", "target");
    let routed = |world: &World| {
        let input =
            RoutingInput { routing_key: "k", extra_keys: &[], message: None, now: Timestamp(0) };
        let topology = world.broker.topology();
        route(&topology.vhosts["/"], "q-source", &input).queues.len()
    };
    assert_eq!(routed(&world), 0);
    let version = world.broker.topology().version;
    world.put_user_policy(&[("alternate-exchange", text("spare"))]);
    assert_eq!(routed(&world), 1);
    assert!(world.broker.topology().version > version, "remembered routes are stale");
    assert_eq!(routed(&world.crashed()), 1);
    world.exchange("q-later", true);
    world.delete_policy();
    assert_eq!(routed(&world), 0);
}

#[test]
fn a_replay_and_a_snapshot_give_the_same_settings() {
    let world = World::new();
    world.declare("q before", true, &[("x-message-ttl", int(70))]);
    world.put_user_policy(&[("max-length", int(7)), ("message-ttl", int(50))]);
    world.put(PolicyKind::Operator, "o", &[("max-length", int(3))]);
    world.declare("q after", true, &[]);
    world.declare("other", true, &[]);
    world
        .broker
        .limit_vhost("/", VhostLimits { max_queues: Some(3), ..Default::default() })
        .unwrap();
    let limits = UserLimits { max_channels: Some(9), ..UserLimits::default() };
    world.broker.limit_user("guest", limits).unwrap();
    let quota = Quota { messages_per_second: Some(5), bytes_per_second: None };
    world.broker.set_quota(QuotaOf::Vhost("/".into()), quota).unwrap();
    let settings = |broker: &Broker| -> Vec<QueueSettings> {
        let topology = broker.topology();
        let queues = topology.vhosts["/"].queues.values();
        queues.map(|queue| QueueSettings::clone(&queue.settings())).collect()
    };
    let expected = settings(&world.broker);
    assert_eq!(expected[1].max_length, Some(3));
    assert_eq!(expected[2].message_ttl_ms, Some(50));
    let replayed = world.crashed().broker;
    assert_eq!(settings(&replayed), expected);
    let recovered = Recovered { commands: world.broker.definitions(), ..Recovered::default() };
    let rebuilt = Broker::recover(KeepingLog::new(), SEED, recovered, world.now);
    assert_eq!(settings(&rebuilt), expected);
    assert_eq!(rebuilt.definitions(), world.broker.definitions());
    assert_eq!(rebuilt.topology().vhosts["/"].quota, quota);
    assert_eq!(rebuilt.topology().user_limits["guest"], limits);
}

#[test]
fn a_vhost_takes_as_many_queues_as_its_limit_says() {
    let world = World::new();
    world
        .broker
        .limit_vhost("/", VhostLimits { max_queues: Some(1), ..Default::default() })
        .unwrap();
    world.declare("one", true, &[]);
    world.declare("one", true, &[]);
    let request = QueueRequest {
        name: "two",
        durable: false,
        exclusive: true,
        auto_delete: false,
        arguments: FieldTable::default(),
    };
    let refusal = world.broker.declare_queue(&world.who, request, world.now).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::PreconditionFailed);
    let expected = "cannot declare queue 'two': queue limit in vhost '/' (1) is reached";
    assert_eq!(refusal.text, expected);
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::new();
    let missing = world.broker.delete_policy(PolicyKind::Operator, "/", "p", world.now);
    assert_eq!(missing.unwrap_err().text, "no operator policy 'p' in vhost '/'");
    assert_eq!(world.broker.policies(PolicyKind::Policy, "x").unwrap_err().text, "no vhost 'x'");
    let of = QuotaOf::User("nobody".into());
    assert_eq!(world.broker.set_quota(of, Quota::default()).unwrap_err().text, "no user 'nobody'");
    assert!(world.broker.policies(PolicyKind::Policy, "/").unwrap().is_empty());
}

#[test]
fn who_publishes_to_a_queue_over_its_new_limit_drops_a_part() {
    let world = World::new();
    world.declare("q", true, &[]);
    let bodies: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    world.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let queue = world.queue("q");
    // As when the policy has just come, and nobody has cut the queue yet.
    world.declare("limited", true, &[("x-max-length", FieldValue::I32(10))]);
    let limited = Arc::clone(&world.queue("limited").declared);
    let mut batch = queue.lock(world.broker.context(world.now));
    batch.configure(limited);
    world.broker.finished(&queue, batch.finish(), world.now);
    world.publish("q", &["new"]);
    let left = queue.counts().ready;
    assert!((3_000..4_500).contains(&left), "{left}");
    assert_eq!(world.broker.next_alarm(), Some(world.now));
    (0..10).for_each(|_| world.broker.tick(world.now));
    assert_eq!((queue.counts().ready, world.broker.next_alarm()), (10, None));
}
