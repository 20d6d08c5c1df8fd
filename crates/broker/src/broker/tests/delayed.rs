//! Delayed messages: they wait, survive, are routed once, and can be seen and cancelled meanwhile.

use super::*;
use crate::ids::Seq;
use crate::message::Filter;
use crate::routing::{RoutingInput, route};

/// A persistent message to the exchange "later" that waits so many milliseconds.
fn waits(body: &str, delay: i64) -> Message {
    let headers = FieldTable(vec![("x-delay".to_owned(), FieldValue::I64(delay))]);
    with_headers(body, headers)
}

fn with_headers(body: &str, headers: FieldTable) -> Message {
    let word = body.trim_end();
    // Headers, delivery mode 2 and message-id.
    let mut raw = vec![0x30, 0x80];
    headers.encode(&mut raw);
    raw.extend([2, word.len() as u8]);
    raw.extend(word.bytes());
    let size = body.len() as u64;
    let mut builder = MessageBuilder::new("later", "k", &raw, size, Some("guest"), None).unwrap();
    builder.push(body.as_bytes()).unwrap();
    builder.finish().0
}

fn request<'a>(name: &'a str, arguments: &[(&str, &str)]) -> ExchangeRequest<'a> {
    let arguments = arguments.iter().map(|(key, value)| ((*key).to_owned(), text(value)));
    let arguments = FieldTable(arguments.collect());
    let (durable, kind) = (true, "x-delayed-message");
    ExchangeRequest { name, kind, durable, auto_delete: false, internal: false, arguments }
}

impl World {
    fn later(&self, arguments: &[(&str, &str)]) {
        let mut all = vec![("x-delayed-type", "direct")];
        all.extend_from_slice(arguments);
        self.broker.declare_exchange(&self.who, request("later", &all)).unwrap();
    }

    fn refusal(&self, kind: Option<&str>) -> String {
        let arguments: Vec<_> = kind.iter().map(|kind| ("x-delayed-type", *kind)).collect();
        self.broker.declare_exchange(&self.who, request("later", &arguments)).unwrap_err().text
    }

    /// How many queues, schedules among them, each went to.
    fn send_later(&self, messages: &[Message]) -> Vec<usize> {
        let (mut outgoing, mut counts) = (Outgoing::default(), Vec::new());
        for message in messages {
            let (routing_key, now) = (message.routing_key(), self.now);
            let input = RoutingInput { routing_key, extra_keys: &[], message: Some(message), now };
            let topology = self.broker.topology();
            let route = self.broker.route(&topology, &self.who, message.exchange(), &input);
            let route = route.unwrap();
            assert!(!route.cacheable);
            counts.push(route.queues.len());
            outgoing.push(message.clone(), &route, 0);
        }
        self.broker.flush(&mut outgoing, self.now);
        counts
    }

    fn run(&mut self, millis: u64) {
        self.now = self.now.after(millis);
        for _ in 0..50 {
            self.broker.tick(self.now);
            self.load_all();
        }
    }

    /// Those that wait, and those that are due and could not leave.
    fn waiting(&self) -> (usize, usize) {
        let counts = self.broker.scheduled_counts("/", "later").unwrap();
        (counts.ready, counts.leaving)
    }
}

#[test]
fn a_message_is_routed_when_its_time_has_come() {
    let mut world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.bind("later", "q");
    let sent =
        [waits("c", 300), waits("b", 250), waits("now", 0), waits("a", 100), waits("d", 999)];
    assert_eq!(world.send_later(&sent), [1; 5]);
    assert_eq!((world.drain("q"), world.waiting()), (vec!["now".to_owned()], (4, 0)));
    assert_eq!(world.broker.next_alarm(), Some(world.now.after(100)));
    world.run(99);
    assert_eq!(world.drain("q"), [""; 0]);
    world.run(1);
    let got = world.broker.get(&world.queue("q"), true, world.now).unwrap();
    assert_eq!(text_of(&got.message), "a");
    let header = got.message.headers().unwrap().get("x-delay").unwrap().to_owned();
    assert_eq!(header, FieldValue::I32(-100), "negated");
    assert!(got.message.headers().unwrap().get("x-death").is_none());
    assert_eq!((got.message.exchange(), got.redelivered), ("later", false));
    let before = world.log.len();
    world.run(200);
    assert_eq!(world.drain("q"), ["b", "c"], "in the order of their times");
    let mut kinds = kinds(&world.log.groups(before)[0]);
    kinds.sort_unstable();
    assert_eq!(kinds, ["publish", "publish", "settle"], "in one group");
    world.run(1_000);
    assert_eq!((world.drain("q"), world.waiting()), (vec!["d".to_owned()], (0, 0)));
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
    assert_eq!(world.broker.next_alarm(), None);
}

#[test]
fn an_absolute_time_is_one_too() {
    let mut world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.bind("later", "q");
    let at = |value| FieldTable(vec![("x-deliver-at".to_owned(), value)]);
    let millis = FieldValue::I64(world.now.0 as i64 + 150);
    let seconds = FieldValue::Timestamp(world.now.0 / 1000 + 1);
    world.send_later(&[with_headers("s", at(seconds)), with_headers("ms", at(millis))]);
    world.run(149);
    assert_eq!(world.drain("q"), [""; 0]);
    world.run(1);
    assert_eq!(world.drain("q"), ["ms"]);
    world.run(850);
    assert_eq!(world.drain("q"), ["s"]);
}

#[test]
fn bindings_count_as_they_are_at_that_time() {
    let mut world = World::new();
    world.exchange("other", true);
    world.later(&[("alternate-exchange", "other")]);
    world.declare("bound", true, &[]);
    world.declare("unrouted", true, &[]);
    world.bind("other", "unrouted");
    world.send_later(&[waits("alternate", 100), waits("bound", 200)]);
    assert_eq!(world.drain("unrouted"), [""; 0], "not before its time");
    world.run(100);
    world.bind("later", "bound");
    world.run(100);
    assert_eq!(
        (world.drain("unrouted"), world.drain("bound")),
        (vec!["alternate".into()], vec!["bound".into()])
    );
    let who = world.who.clone();
    world.broker.delete_queue(&who, "bound", false, false, world.now).unwrap();
    world.broker.delete_queue(&who, "unrouted", false, false, world.now).unwrap();
    world.send_later(&[waits("nowhere", 100)]);
    world.run(100);
    assert_eq!((world.waiting(), world.log.messages()), ((0, 0), 0), "dropped");
}

#[test]
fn exchanges_behind_each_other_delay_once() {
    let mut world = World::new();
    world.exchange("first", true);
    world.later(&[]);
    let more = request("more", &[("x-delayed-type", "fanout")]);
    world.broker.declare_exchange(&world.who, more).unwrap();
    for (source, to) in [("first", "later"), ("later", "more")] {
        let (arguments, routing_key) = (FieldTable::default(), "k");
        let destination = Destination::Exchange(to.into());
        let request = BindRequest { source, destination, routing_key, arguments };
        world.broker.bind(&world.who, request, world.now).unwrap();
    }
    world.declare("q", true, &[]);
    world.bind("more", "q");
    let topology = world.broker.topology().clone();
    let message = waits("x", 100);
    let (routing_key, now) = ("k", world.now);
    let input = RoutingInput { routing_key, extra_keys: &[], message: Some(&message), now };
    let routed = route(&topology.vhosts["/"], "first", &input);
    let mut outgoing = Outgoing::default();
    outgoing.push(message.clone(), &Route { queues: routed.queues, ..Route::default() }, 0);
    world.broker.flush(&mut outgoing, now);
    assert_eq!(world.waiting(), (1, 0));
    world.run(100);
    assert_eq!(world.drain("q"), ["x"]);
}

#[test]
fn no_crash_loses_or_doubles_a_delayed_message() {
    let mut world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.declare("r", true, &[]);
    world.bind("later", "q");
    world.bind("later", "r");
    world.broker.set_memory_budget(1);
    let mut sent = vec![(world.log.len(), 0)];
    for round in 0..6_usize {
        let delay = |index: usize| 10 + ((round * 7 + index * 13) % 50) as i64;
        let messages: Vec<Message> = (0..4)
            .map(|index| waits(&large(&format!("{}", round * 4 + index)), delay(index)))
            .collect();
        world.send_later(&messages);
        sent.push((world.log.len(), (round + 1) * 4));
        world.run(15);
    }
    for groups in sent[0].0..=world.log.len() {
        let (log, recovered) = world.log.crash(groups);
        let broker = Broker::recover(log.clone(), SEED, recovered, world.now);
        let mut after = World::with(broker, log, world.now);
        after.run(100);
        let least = sent.iter().rev().find(|(at, _)| *at <= groups).unwrap().1;
        for queue in ["q", "r"] {
            let mut all = after.drain(queue);
            let many = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), many, "twice after {groups}: {all:?}");
            assert!(many >= least, "{many} of {least} after {groups}");
        }
        assert_eq!((after.waiting(), after.log.messages()), ((0, 0), 0));
    }
    world.run(100);
    assert_eq!((world.drain("q").len(), world.drain("r").len(), world.log.messages()), (24, 24, 0));
}

#[test]
fn what_waits_survives_a_restart_and_knows_its_time() {
    let world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.bind("later", "q");
    let delay = |index: i64| 1_000 + index * 7_919 % 1_000;
    let sent: Vec<Message> =
        (0..80).map(|index| waits(&large(&format!("{index}")), delay(index))).collect();
    world.send_later(&sent);
    let mut after = world.crashed();
    assert!(after.load_all() >= 4, "piece by piece");
    assert_eq!(after.waiting(), (80, 0));
    after.run(999);
    assert_eq!(after.drain("q"), [""; 0]);
    let mut got = Vec::new();
    for _ in 0..50 {
        after.run(20);
        got.extend(after.drain("q"));
    }
    let mut expected: Vec<i64> = (0..80).collect();
    expected.sort_by_key(|index| delay(*index));
    let expected: Vec<String> = expected.iter().map(i64::to_string).collect();
    assert_eq!((got, after.log.messages()), (expected, 0));
    let late = world.crashed();
    let mut late = World { now: late.now.after(5_000), ..late };
    late.run(0);
    assert_eq!(late.drain("q").len(), 80, "those that are due go at once");
}

#[test]
fn what_is_due_soon_is_read_ahead_in_the_order_of_the_log() {
    let mut world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.bind("later", "q");
    // The first is due last: it stays at the head, in memory.
    let delay = |index: i64| if index == 0 { 100_000 } else { 60_000 + index * 7_919 % 40_000 };
    let sent: Vec<Message> = (0..200).map(|index| waits(&large("a"), delay(index))).collect();
    world.send_later(&sent);
    let topology = world.broker.topology();
    let schedule = topology.vhosts["/"].exchanges["later"].schedule().unwrap();
    let put_away = |world: &World| {
        let mut batch = schedule.lock(world.broker.context(world.now));
        batch.page_out(1);
        world.broker.finished(schedule, batch.finish(), world.now);
        world.load_all();
    };
    put_away(&world);
    world.log.take_fetched();
    let first = (1..200).map(delay).min().unwrap() as u64;
    assert_eq!(world.broker.next_alarm(), Some(world.now.after(first - 5_000)));

    world.run(first - 5_001);
    assert_eq!(world.log.take_fetched(), []);
    world.run(1);
    let read = world.log.take_fetched();
    // The head of the queue is read with it.
    assert!(read.chunk_by(|one, next| one < next).count() <= 2, "neighbours go together");
    let soon = |index: &i64| delay(*index) < first as i64 + 10_000 - 16;
    let soon: Vec<Seq> = (1..200).filter(soon).map(|index| Seq(index as u64 + 1)).collect();
    assert!(soon.len() > 30 && soon.iter().all(|seq| read.contains(seq)));
    assert!(read.len() < 100, "and not all of them: {}", read.len());
    world.run(4_999);
    assert_eq!((world.log.take_fetched(), world.drain("q").len()), (vec![], 0));

    // What comes meanwhile and is due sooner is read, too.
    let sent: Vec<Message> = (0..50).map(|index| waits("b", 4_000 - index)).collect();
    world.send_later(&sent);
    put_away(&world);
    world.run(2_500);
    assert!(world.log.take_fetched().iter().filter(|seq| seq.0 > 200).count() >= 49);
    let mut got = world.drain("q").len();
    for _ in 0..100 {
        world.run(500);
        got += world.drain("q").len();
    }
    assert_eq!((got, world.waiting()), (250, (0, 0)));
}

#[test]
fn a_queue_without_room_is_tried_again() {
    let mut world = World::new();
    world.later(&[]);
    let full = [("x-max-length", FieldValue::I32(1)), ("x-overflow", text("reject-publish"))];
    world.declare("q", true, &full);
    world.bind("later", "q");
    world.send_later(&[waits("a", 100), waits("b", 100)]);
    world.run(100);
    assert_eq!((world.waiting(), world.drain("q")), ((0, 1), vec!["a".to_owned()]));
    world.run(2_000);
    assert_eq!((world.waiting(), world.drain("q")), ((0, 0), vec!["b".to_owned()]));
    assert_eq!(world.log.messages(), 0);
}

#[test]
fn those_that_wait_can_be_seen_and_cancelled() {
    let mut world = World::new();
    world.later(&[]);
    world.declare("q", true, &[]);
    world.bind("later", "q");
    world.broker.set_memory_budget(1);
    let bodies: Vec<String> = (0..40).map(|index| large(&format!("{index}"))).collect();
    let sent: Vec<Message> = bodies.iter().zip(0..).map(|(body, n)| waits(body, 500 - n)).collect();
    world.send_later(&sent);
    let filter = Filter::default();
    let mut request =
        BrowseRequest { from: None, max_messages: 30, max_bytes: usize::MAX, filter: &filter };
    let first = world.broker.scheduled("/", "later", &request, world.now).unwrap();
    request.from = first.next;
    let rest = world.broker.scheduled("/", "later", &request, world.now).unwrap();
    let seen = first.messages.iter().chain(&rest.messages);
    let dues: Vec<u64> = seen.map(|one| one.expires_at.0 - world.now.0).collect();
    assert_eq!(dues, (0..40).map(|n| 500 - n).collect::<Vec<u64>>());
    let cancel = |which| world.broker.cancel_scheduled("/", "later", which, world.now).unwrap().0;
    assert_eq!(cancel(Scheduled::MessageId("39")), 1);
    assert_eq!(cancel(Scheduled::MessageId("39")), 0);
    assert_eq!(cancel(Scheduled::Seq(first.messages[0].at.seq)), 1);
    assert_eq!((world.waiting(), world.log.messages()), ((38, 0), 38));
    world.run(500);
    let expected: Vec<String> = (1..39).rev().map(|n: i64| n.to_string()).collect();
    assert_eq!(world.drain("q"), expected);
    let refused = world.broker.scheduled_counts("/", "amq.direct").unwrap_err();
    assert_eq!(refused.text, "exchange 'amq.direct' in vhost '/' is not of type x-delayed-message");
}

#[test]
fn a_schedule_goes_with_its_exchange() {
    let mut world = World::new();
    world.later(&[]);
    world.send_later(&[waits("x", 100)]);
    assert_eq!(world.broker.topology().vhosts["/"].queues.len(), 0, "clients do not see it");
    let topology = world.broker.topology().clone();
    world.broker.delete_exchange(&world.who, "later", false).unwrap();
    let defined = world.log.len() - 1;
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
    world.later(&[]);
    let old = topology.vhosts["/"].exchanges["later"].schedule().unwrap();
    let new = world.broker.topology().vhosts["/"].in_place_of(old).unwrap().spec.id;
    assert!(new > old.spec.id);
    world.run(100);
    assert_eq!(world.waiting(), (0, 0));
    // Between the command that removed the exchange and the end of its schedule.
    let (log, recovered) = world.log.crash(defined);
    assert_eq!(log.messages(), 1);
    let broker = Broker::recover(log.clone(), SEED, recovered, world.now);
    assert_eq!((log.messages(), broker.orphans().len()), (0, 0));
}

#[test]
fn an_auto_delete_exchange_takes_its_schedule_with_it() {
    let world = World::new();
    let auto =
        ExchangeRequest { auto_delete: true, ..request("later", &[("x-delayed-type", "topic")]) };
    world.broker.declare_exchange(&world.who, auto).unwrap();
    world.declare("q", true, &[]);
    world.bind("later", "q");
    world.send_later(&[waits("x", 100)]);
    world.broker.delete_queue(&world.who, "q", false, false, world.now).unwrap();
    assert_eq!((world.log.messages(), world.broker.memory_bytes()), (0, 0));
    assert!(world.crashed().broker.find_exchange(&world.who, "later").is_err());
}

#[test]
fn the_type_that_routes_is_checked() {
    let world = World::new();
    let missing = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
    assert_eq!(world.refusal(None), missing);
    assert_eq!(world.refusal(Some("nothing")), "unknown exchange type 'nothing'");
    let itself = "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
    assert_eq!(world.refusal(Some("x-delayed-message")), itself);
    assert!(world.broker.find_exchange(&world.who, "later").is_err());
}
