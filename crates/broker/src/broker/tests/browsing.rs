//! Looking through queues, and moving and deleting what is found.

use super::*;
use crate::ids::Seq;
use crate::message::{Comparison, Condition, Field, Filter};
use crate::queue::{Cursor, Out};

impl World {
    fn browse(
        &self,
        queue: &str,
        filter: &Filter,
        (messages, bytes): (usize, usize),
    ) -> Vec<String> {
        let (mut bodies, mut from) = (Vec::new(), None);
        loop {
            let request = BrowseRequest { from, max_messages: messages, max_bytes: bytes, filter };
            let browsing = self.broker.browse(&self.queue(queue), &request, self.now);
            assert!(browsing.messages.len() <= messages);
            bodies.extend(browsing.messages.iter().map(|one| text_of(&one.message)));
            from = browsing.next;
            if from.is_none() {
                return bodies;
            }
        }
    }

    fn moved(&self, queue: &str, selection: (Selection<'_>, usize), to: MoveTo<'_>) -> Moved {
        let queue = self.queue(queue);
        self.broker.move_messages(&self.who, &queue, selection, to, self.now).unwrap()
    }

    fn all(&self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.get(queue)).collect()
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|index| index.to_string()).collect()
}

fn large_numbers(count: usize) -> Vec<Message> {
    (0..count).map(|index| persistent(&large(&index.to_string()), None)).collect()
}

#[test]
fn looking_changes_nothing_wherever_messages_are() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.publish_to(&["q"], &large_numbers(10));
    world.broker.set_memory_budget(1);
    world.publish_to(&["q"], &large_numbers(30));
    let queue = world.queue("q");
    let out: Vec<Seq> =
        (0..3).map(|_| world.broker.get(&queue, false, world.now).unwrap().seq).collect();
    world.broker.settle(&queue, &out[1..2], Settlement::Requeue, world.now);
    let before = (queue.counts(), world.broker.memory_bytes(), world.log.len());
    let expected = [&numbers(1..2)[..], &numbers(3..10), &numbers(0..30)].concat();
    let every = Filter::default();
    for limits in [(1, usize::MAX), (7, usize::MAX), (usize::MAX, 1), (usize::MAX, 50_000)] {
        assert_eq!(world.browse("q", &every, limits), expected, "{limits:?}");
    }
    assert_eq!((queue.counts(), world.broker.memory_bytes(), world.log.len()), before);
    let request =
        BrowseRequest { from: None, max_messages: 2, max_bytes: usize::MAX, filter: &every };
    let browsing = world.broker.browse(&queue, &request, world.now);
    let flags: Vec<bool> = browsing.messages.iter().map(|one| one.redelivered).collect();
    assert_eq!(flags, [true, false]);
    assert_eq!(browsing.next, Some(Cursor { level: 0, seq: Seq(5) }));
    let unacked = world.broker.browse_unacked(&queue, Seq(0), 10, world.now);
    let got = |seq| Out { seq, consumer: None, since: world.now };
    assert_eq!(unacked, [got(out[0]), got(out[2])]);
    assert_eq!(world.broker.browse_unacked(&queue, Seq(2), 1, world.now), [got(out[2])]);
    let after = world.crashed();
    assert_eq!(after.browse("q", &every, (9, usize::MAX)).len(), 40);
    assert_eq!(world.all("q"), expected);
}

#[test]
fn levels_are_looked_through_from_the_highest() {
    let world = World::new();
    world.declare("q", true, &[("x-max-priority", FieldValue::I32(2))]);
    let with_priority = |level: u8, body: &str| {
        let size = body.len() as u64;
        let raw = [0x18, 0x00, 2, level];
        let mut builder = MessageBuilder::new("", "q", &raw, size, Some("guest"), None).unwrap();
        builder.push(body.as_bytes()).unwrap();
        builder.finish().0
    };
    let messages = [(0, "e"), (2, "a"), (1, "c"), (2, "b"), (1, "d")];
    let messages = messages.map(|(level, body)| with_priority(level, body));
    world.publish_to(&["q"], &messages);
    assert_eq!(world.browse("q", &Filter::default(), (2, 1 << 20)), ["a", "b", "c", "d", "e"]);
}

#[test]
fn what_is_deleted_is_gone_and_nothing_else() {
    let world = World::new();
    world.declare("q", true, &[]);
    world.broker.set_memory_budget(1);
    world.publish_to(&["q"], &large_numbers(20));
    let queue = world.queue("q");
    let out = world.broker.get(&queue, false, world.now).unwrap().seq;
    let seqs: Vec<Seq> = [20, 4, 1, 4, 99, 5].map(Seq).to_vec();
    let (deleted, position) = world.broker.delete_messages(&queue, &seqs, world.now);
    assert_eq!((deleted, queue.counts().ready), (3, 16), "one is out, one was never there");
    assert!(position > Position::START);
    world.broker.settle(&queue, &[out], Settlement::Ack, world.now);
    let expected = [&numbers(1..3)[..], &numbers(5..19)].concat();
    assert_eq!(world.crashed().all("q"), expected);
    assert_eq!(world.all("q"), expected);
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn a_move_is_one_group_of_the_log() {
    let world = World::new();
    world.declare("to", true, &[]);
    world.declare("q", true, &[]);
    world.broker.set_memory_budget(1);
    world.publish_to(&["q"], &large_numbers(12));
    let before = world.log.len();
    let seqs: Vec<Seq> = (3..=6).map(Seq).collect();
    let moved = world.moved("q", (Selection::Seqs(&seqs), 100), MoveTo::Queue("to"));
    assert_eq!((moved.moved, moved.refused, moved.next), (4, 0, None));
    let mut groups: Vec<_> = world.log.groups(before).iter().map(|group| kinds(group)).collect();
    assert_eq!(groups.len(), 1);
    groups[0].sort_unstable();
    assert_eq!(groups[0], ["publish", "publish", "publish", "publish", "settle"]);
    let every = Filter::default();
    let limited = (Selection::Filter(None, &every), 3);
    let moved = world.moved("q", limited, MoveTo::Exchange("", Some("to")));
    assert_eq!((moved.moved, moved.next.map(|next| next.seq)), (3, Some(Seq(8))));
    assert_eq!(world.all("to"), ["2", "3", "4", "5", "0", "1", "6"]);
    let moved = world.moved("q", (Selection::Filter(None, &every), 100), MoveTo::Queue("q"));
    assert_eq!((moved.moved, moved.next), (5, None), "each once");
    assert_eq!(world.all("q"), numbers(7..12));
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
}

#[test]
fn what_nobody_takes_stays() {
    let world = World::new();
    world.declare("q", true, &[]);
    let full = [("x-max-length", FieldValue::I32(2)), ("x-overflow", text("reject-publish"))];
    world.declare("to", true, &full);
    world.publish("q", &["a", "b", "c", "d"]);
    let every = Filter::default();
    let all = || (Selection::Filter(None, &every), 100);
    let moved = world.moved("q", all(), MoveTo::Queue("to"));
    assert_eq!((moved.moved, moved.refused), (2, 2));
    let moved = world.moved("q", all(), MoveTo::Exchange("amq.direct", Some("nowhere")));
    assert_eq!((moved.moved, moved.refused), (0, 2));
    assert_eq!(world.moved("q", all(), MoveTo::Origin).refused, 2, "they never died");
    assert_eq!(
        (world.all("q"), world.all("to")),
        (vec!["c".into(), "d".into()], vec!["a".into(), "b".into()])
    );
    let queue = world.queue("q");
    let missing =
        world.broker.move_messages(&world.who, &queue, all(), MoveTo::Queue("no"), world.now);
    assert_eq!(missing.unwrap_err().text, "no queue 'no' in vhost '/'");
}

#[test]
fn dead_letters_go_back_to_where_they_died() {
    let world = World::new();
    world.declare("dead", true, &[]);
    let arguments =
        [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    for name in ["one", "two"] {
        world.declare(name, true, &arguments);
        world.publish(name, &[name, "b"]);
        let queue = world.queue(name);
        let out = world.broker.get(&queue, false, world.now).unwrap().seq;
        world.broker.settle(&queue, &[out], Settlement::Reject, world.now);
    }
    let field = Field::DeathQueue;
    let comparison = Comparison::Equals(text("two"));
    let filter = Filter(vec![Condition { field, comparison }]);
    assert_eq!(world.browse("dead", &filter, (10, 1 << 20)), ["two"]);
    let moved = world.moved("dead", (Selection::Filter(None, &filter), 10), MoveTo::Origin);
    assert_eq!((moved.moved, moved.refused), (1, 0));
    assert_eq!((world.all("dead"), world.all("one")), (vec!["one".into()], vec!["b".into()]));
    let queue = world.queue("two");
    let back = |_| world.broker.get(&queue, true, world.now).unwrap().message;
    let [b, two] = [0, 1].map(back);
    assert_eq!((text_of(&b), text_of(&two)), ("b".to_owned(), "two".to_owned()));
    assert_eq!((two.routing_key(), two.properties()), ("q", b.properties()), "as it was");
}
