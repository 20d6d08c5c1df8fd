//! Delayed retry: what comes back rests, is back at its place in time, and holds to all limits.

use super::*;
use crate::ids::Seq;

fn retry<'a>(kind: &str, more: &[(&'a str, FieldValue)]) -> Vec<(&'a str, FieldValue)> {
    let mut arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-delayed-retry-type", text(kind)),
        ("x-delayed-retry-min", FieldValue::I32(100)),
        ("x-delayed-retry-max", FieldValue::I32(250)),
    ];
    arguments.extend_from_slice(more);
    arguments
}

impl World {
    fn take(&self, queue: &str) -> Option<Seq> {
        Some(self.broker.get(&self.queue(queue), false, self.now)?.seq)
    }

    fn give_back(&self, queue: &str, seqs: &[Seq], how: Settlement) {
        self.broker.settle(&self.queue(queue), seqs, how, self.now);
    }

    fn tick_after(&mut self, millis: u64) {
        self.now = self.now.after(millis);
        self.broker.tick(self.now);
        self.load_all();
    }

    /// Messages that are ready, and those that rest.
    fn standing(&self, queue: &str) -> (usize, usize) {
        let counts = self.queue(queue).counts();
        (counts.ready, counts.delayed)
    }
}

#[test]
fn a_message_that_failed_rests_longer_each_time() {
    let mut world = World::new();
    world.declare("q", true, &retry("failed", &[]));
    world.publish("q", &["a", "b"]);
    for delay in [100, 200, 250, 250] {
        let seq = world.take("q").unwrap();
        assert_eq!(seq, Seq(1), "back at its place");
        world.give_back("q", &[seq], Settlement::Requeue);
        assert_eq!(world.standing("q"), (1, 1));
        assert_eq!(world.broker.next_alarm(), Some(world.now.after(delay)));
        world.tick_after(delay - 1);
        assert_eq!(world.standing("q"), (1, 1));
        world.tick_after(1);
        assert_eq!(world.standing("q"), (2, 0));
    }
    let seq = world.take("q").unwrap();
    world.give_back("q", &[seq], Settlement::Release);
    assert_eq!(world.standing("q"), (2, 0), "it was not processed");
    assert_eq!(world.drain("q"), ["a", "b"]);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn the_kind_says_which_returns_rest() {
    let world = World::new();
    for (kind, [failed, released]) in
        [("all", [1, 1]), ("failed", [1, 0]), ("returned", [0, 1]), ("disabled", [0, 0])]
    {
        for (how, resting) in [(Settlement::Requeue, failed), (Settlement::Release, released)] {
            let name = format!("{kind} {how:?}");
            world.declare(&name, true, &retry(kind, &[]));
            world.publish(&name, &["x"]);
            let seq = world.take(&name).unwrap();
            world.give_back(&name, &[seq], how);
            assert_eq!(world.standing(&name), (1 - resting, resting), "{name}");
        }
    }
}

#[test]
fn a_consumer_gets_it_when_the_rest_is_over() {
    let mut world = World::new();
    world.declare("q", true, &retry("all", &[]));
    let sink = Sink::with_room(10);
    world.consume("q", &sink, false);
    world.publish("q", &["x"]);
    world.give_back("q", &[Seq(1)], Settlement::Requeue);
    assert_eq!(sink.take(), [("x".to_owned(), false)]);
    world.tick_after(100);
    assert_eq!(sink.take(), [("x".to_owned(), true)]);
}

#[test]
fn messages_of_groups_rest_too() {
    let mut world = World::new();
    world.declare("q", true, &retry("all", &[("x-message-group-header", text("g"))]));
    let sink = Sink::with_room(10);
    world.consume("q", &sink, false);
    world.publish("q", &["x"]);
    assert_eq!(sink.take().len(), 1);
    world.give_back("q", &[Seq(1)], Settlement::Requeue);
    world.publish("q", &["y"]);
    assert_eq!(sink.take(), [("y".to_owned(), false)]);
    world.tick_after(100);
    assert_eq!(sink.take(), [("x".to_owned(), true)]);
}

#[test]
fn what_fails_too_often_is_parked() {
    let mut world = World::new();
    world.declare("parking", true, &[]);
    let more = [
        ("x-delivery-limit", FieldValue::I32(2)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("parking")),
    ];
    world.declare("q", true, &retry("failed", &more));
    world.publish("q", &["poison"]);
    for _ in 0..3 {
        let seq = world.take("q").unwrap();
        world.give_back("q", &[seq], Settlement::Requeue);
        world.tick_after(250);
    }
    assert_eq!((world.standing("q"), world.drain("parking")), ((0, 0), vec!["poison".to_owned()]));
    assert_eq!(world.log.messages(), 0);
}

#[test]
fn time_to_live_limits_and_purge_hold_for_what_rests() {
    let mut world = World::new();
    world.declare("short", true, &retry("all", &[("x-message-ttl", FieldValue::I32(60))]));
    let limit = ("x-max-length", FieldValue::I32(2));
    world.declare("dropping", true, &retry("all", std::slice::from_ref(&limit)));
    let refusing = [limit, ("x-overflow", text("reject-publish"))];
    world.declare("refusing", true, &retry("all", &refusing));
    for queue in ["short", "dropping", "refusing"] {
        world.publish(queue, &["a", "b"]);
        let out = world.take(queue).unwrap();
        world.give_back(queue, &[out], Settlement::Requeue);
        assert_eq!(world.standing(queue), (1, 1));
    }
    assert_eq!(world.flush(&["refusing"], &[persistent("c", None)]).rejected.len(), 1);
    world.publish("dropping", &["c"]);
    assert_eq!(world.standing("dropping"), (2, 0), "the oldest went");
    world.tick_after(60);
    assert_eq!(world.standing("short"), (0, 0), "not after its time");
    let who = world.who.clone();
    let refused = world.broker.delete_queue(&who, "refusing", false, true, world.now);
    assert!(refused.is_err(), "it is not empty");
    let (purged, _) = world.broker.purge_queue(&who, "refusing", world.now).unwrap();
    assert_eq!((purged, world.standing("refusing")), (2, (0, 0)));
    world.tick_after(100);
    assert_eq!(world.drain("dropping"), ["b", "c"]);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn what_rests_is_in_the_log_and_ready_after_a_restart() {
    let mut world = World::new();
    world.declare("q", true, &retry("all", &[]));
    let bodies: Vec<String> = (0..20).map(|index| large(&format!("{index}"))).collect();
    world.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let out: Vec<Seq> = std::iter::from_fn(|| world.take("q")).collect();
    world.give_back("q", &out, Settlement::Requeue);
    assert_eq!(world.standing("q"), (0, 20));
    assert!(world.broker.memory_bytes() < 20 * 400, "{}", world.broker.memory_bytes());
    let after = world.crashed();
    let queue = after.queue("q");
    assert_eq!(after.standing("q"), (20, 0));
    let got = after.broker.get(&queue, false, after.now).unwrap();
    assert!(got.redelivered);
    world.tick_after(100);
    let expected: Vec<String> = (0..20).map(|index| index.to_string()).collect();
    assert_eq!(world.drain("q"), expected);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}
