//! Deaths and crashes: a message is in the queue where it died or in its dead-letter queues, at any
//! end of the log; and one that must not be lost waits.

use super::*;
use crate::ids::Seq;

/// The arguments of a queue whose dead letters go to `dead`.
fn to_dead(more: &[(&'static str, FieldValue)]) -> Vec<(&'static str, FieldValue)> {
    let mut arguments =
        vec![("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    arguments.extend_from_slice(more);
    arguments
}

fn at_least_once() -> Vec<(&'static str, FieldValue)> {
    to_dead(&[
        ("x-queue-type", text("quorum")),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-max-length", FieldValue::I32(50)),
    ])
}

impl World {
    fn out(&self, queue: &str, count: usize) -> Vec<Seq> {
        let queue = self.queue(queue);
        let get = || self.broker.get(&queue, false, self.now);
        std::iter::from_fn(get).take(count).map(|got| got.seq).collect()
    }

    fn reject(&self, queue: &str, seqs: &[Seq]) {
        self.broker.settle(&self.queue(queue), seqs, Settlement::Reject, self.now);
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(millis);
        for _ in 0..50 {
            self.broker.tick(self.now);
            self.load_all();
        }
    }

    /// Ready messages, and those that have died and not left.
    fn counts(&self, queue: &str) -> (usize, usize) {
        let counts = self.queue(queue).counts();
        (counts.ready, counts.leaving)
    }

    pub(super) fn drain(&self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.get(queue)).collect()
    }

    /// The bodies in each queue after a crash behind so many groups.
    fn kept(&self, groups: usize, queues: &[&str]) -> Vec<Vec<String>> {
        let (log, recovered) = self.log.crash(groups);
        // Nothing may expire while it is looked at.
        let now = Timestamp(0);
        let broker = Broker::recover(log.clone(), SEED, recovered, now);
        let world = Self::with(broker, log, now);
        queues.iter().map(|queue| world.drain(queue)).collect()
    }
}

#[test]
fn those_that_die_together_are_one_group_with_their_arrival() {
    let world = World::new();
    world.declare("dead", true, &[]);
    world.declare("q", true, &to_dead(&[]));
    world.publish("q", &["a", "b", "c"]);
    let out = world.out("q", 3);
    let before = world.log.len();
    world.reject("q", &out);
    let groups = world.log.groups(before);
    assert_eq!(groups.len(), 1, "{groups:?}");
    let mut kinds = kinds(&groups[0]);
    kinds.sort_unstable();
    assert_eq!(kinds, ["publish", "publish", "publish", "settle"]);
    assert_eq!(world.counts("q"), (0, 0));
    assert_eq!(world.drain("dead"), ["a", "b", "c"]);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn no_crash_loses_or_doubles_the_dead() {
    let mut world = World::new();
    world.declare("dead", true, &[]);
    // What dies in "middle" for want of room goes on.
    let middle = [("x-max-length", FieldValue::I32(2)), ("x-overflow", text("reject-publish-dlx"))];
    world.declare("middle", true, &to_dead(&middle));
    let arguments = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("middle")),
        ("x-max-length", FieldValue::I32(6)),
    ];
    world.declare("q", true, &arguments);
    world.broker.set_memory_budget(1);
    let mut confirmed = vec![(world.log.len(), 0)];
    for round in 0..6 {
        let bodies: Vec<String> = (0..3).map(|index| format!("{}", round * 3 + index)).collect();
        let ttl = (round % 2 == 0).then_some(30);
        let messages: Vec<Message> = bodies.iter().map(|body| persistent(body, ttl)).collect();
        world.publish_to(&["q"], &messages);
        confirmed.push((world.log.len(), (round + 1) * 3));
        let out = world.out("q", 1);
        world.reject("q", &out);
        world.pass(20);
    }
    let queues = ["q", "middle", "dead"];
    for groups in confirmed[0].0..=world.log.len() {
        let mut all = world.kept(groups, &queues).concat();
        all.sort_unstable();
        let many = all.len();
        all.dedup();
        assert_eq!(all.len(), many, "twice, after {groups}: {all:?}");
        let least = confirmed.iter().rev().find(|(at, _)| *at <= groups).unwrap().1;
        assert!(many >= least, "{many} of {least} after {groups}");
    }
    let all: Vec<String> = queues.iter().flat_map(|queue| world.drain(queue)).collect();
    assert_eq!(all.len(), 18);
    assert_eq!(world.log.messages(), 0);
}

#[test]
fn what_must_not_be_lost_waits_for_room() {
    let mut world = World::new();
    let full = [("x-max-length", FieldValue::I32(1)), ("x-overflow", text("reject-publish"))];
    world.declare("dead", true, &full);
    world.declare("q", true, &at_least_once());
    world.publish("q", &["a", "b", "c"]);
    let out = world.out("q", 3);
    world.reject("q", &out);
    assert_eq!((world.counts("q"), world.counts("dead")), ((0, 2), (1, 0)));
    assert_eq!(world.drain("dead"), ["a"]);
    world.pass(1_000);
    assert_eq!(world.drain("dead"), [""; 0], "not before it is tried again");
    world.pass(1_000);
    assert_eq!((world.counts("q"), world.drain("dead")), ((0, 1), vec!["b".to_owned()]));
    let kept = world.kept(world.log.len(), &["q", "dead"]);
    assert_eq!(kept, [vec!["c".to_owned()], vec![]], "it is where it died");
    world.pass(2_000);
    assert_eq!((world.counts("q"), world.drain("dead")), ((0, 0), vec!["c".to_owned()]));
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn what_must_not_be_lost_waits_for_a_route() {
    let mut world = World::new();
    world.declare("q", true, &at_least_once());
    world.declare("lossy", true, &to_dead(&[]));
    for queue in ["q", "lossy"] {
        world.publish(queue, &["a", "b"]);
        let out = world.out(queue, 2);
        world.reject(queue, &out);
    }
    assert_eq!((world.counts("q"), world.counts("lossy")), ((0, 2), (0, 0)));
    world.pass(10_000);
    assert_eq!((world.counts("q"), world.log.messages()), ((0, 2), 2));
    let after = world.crashed();
    assert_eq!(after.counts("q"), (2, 0), "they are delivered again");
    world.declare("dead", true, &[]);
    world.pass(2_000);
    assert_eq!(world.drain("dead"), ["a", "b"]);
}

#[test]
fn the_dead_that_wait_have_a_bound() {
    let world = World::new();
    world.declare("q", true, &at_least_once());
    let bodies: Vec<String> = (0..40).map(|index| large(&format!("{index}"))).collect();
    world.publish("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let out = world.out("q", 40);
    world.reject("q", &out);
    assert_eq!(world.counts("q"), (0, 40));
    assert!(world.broker.memory_bytes() < 40 * 400, "{}", world.broker.memory_bytes());
    world.publish("q", &(0..20).map(|_| "x").collect::<Vec<_>>());
    let mut refused = Outgoing::default();
    let route =
        Route { queues: vec![world.queue("q")], cacheable: true, memory: None, traffic: None };
    refused.push(persistent("y", None), &route, 3);
    assert_eq!(world.broker.flush(&mut refused, world.now).rejected, [3]);
    assert_eq!(world.counts("q").0, 10, "50 are ready, or dead and waiting");
}

#[test]
fn what_expires_behind_another_dies_in_time_wherever_it_is() {
    let mut world = World::new();
    world.declare("dead", false, &[]);
    world.declare("q", true, &to_dead(&[]));
    world.broker.set_memory_budget(1);
    let mut messages = vec![persistent(&large("head"), None)];
    let body = |index: u64| large(&format!("{index}"));
    messages.extend((0..20).map(|index| persistent(&body(index), Some(500 - index % 2 * 300))));
    world.publish_to(&["q"], &messages);
    assert_eq!(world.broker.next_alarm(), Some(world.now.after(200)));
    world.pass(199);
    assert_eq!(world.counts("dead").0, 0);
    world.pass(1);
    let odd: Vec<String> = (0..10).map(|index| (index * 2 + 1).to_string()).collect();
    assert_eq!(world.drain("dead"), odd);
    assert_eq!((world.counts("q"), world.log.messages()), ((11, 0), 11));
    world.pass(300);
    assert_eq!((world.counts("dead").0, world.counts("q")), (10, (1, 0)));
    assert_eq!(world.get("q").as_deref(), Some("head"));
    assert_eq!(world.broker.next_alarm(), None);
}

#[test]
fn what_expires_unseen_is_not_read() {
    let mut world = World::new();
    world.declare("q", true, &[]);
    world.broker.set_memory_budget(1);
    let mut messages = vec![persistent(&large("head"), None)];
    messages.extend((0..20).map(|_| persistent(&large("x"), Some(100))));
    world.publish_to(&["q"], &messages);
    (2..=21).for_each(|seq| world.log.damage(Seq(seq)));
    world.pass(100);
    let counts = world.queue("q").counts();
    assert_eq!((counts.ready, counts.unreadable, world.log.messages()), (1, 0, 1));
}

#[test]
fn a_scan_finds_what_expires_behind_another_after_a_restart() {
    let world = World::new();
    world.declare("q", true, &[]);
    let mut messages = vec![persistent(&large("head"), None)];
    messages.extend((0..60).map(|_| persistent(&large("x"), Some(100))));
    world.publish_to(&["q"], &messages);
    let (mut plain, mut scanned) = (world.crashed(), world.crashed());
    let queue = scanned.queue("q");
    let mut batch = queue.lock(scanned.broker.context(scanned.now));
    batch.want_scan();
    scanned.broker.finished(&queue, batch.finish(), scanned.now);
    assert!(scanned.load_all() >= 4, "piece by piece");
    assert!(scanned.broker.memory_bytes() < 200_000, "nothing is taken into memory");
    assert_eq!(scanned.broker.next_alarm(), Some(scanned.now.after(100)));
    scanned.pass(100);
    assert_eq!((scanned.counts("q").0, scanned.log.messages()), (1, 1));
    plain.pass(100);
    assert!(plain.counts("q").0 > 1, "others look at their heads");
}

#[test]
fn what_dies_together_is_one_group_wherever_it_is() {
    let world = World::new();
    world.declare("dead", true, &[]);
    world.declare("q", true, &to_dead(&[]));
    world.publish("q", &["away"]);
    let mut out = world.out("q", 1);
    let queue = world.queue("q");
    let mut batch = queue.lock(world.broker.context(world.now));
    assert!(batch.page_out(0));
    world.broker.finished(&queue, batch.finish(), world.now);
    world.publish("q", &["here"]);
    out.extend(world.out("q", 1));
    let before = world.log.len();
    world.reject("q", &out);
    assert_eq!(world.log.len(), before + 1);
    assert_eq!(world.drain("dead"), ["away", "here"]);
}
