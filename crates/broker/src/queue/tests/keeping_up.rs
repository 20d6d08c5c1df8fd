//! What a queue tells of how it and its consumers keep up.

use super::*;

/// The ages of the oldest ready message and of the oldest delivery.
fn ages(world: &World, queue: &QueueHandle) -> (Option<u64>, Option<u64>) {
    let pace = queue.pace(world.now);
    (pace.oldest_ready_age_ms, pace.oldest_unacked_age_ms)
}

#[test]
fn ages_are_those_of_the_oldest() {
    let mut world = World::new();
    let queue = world.queue("q", &[]);
    assert_eq!(ages(&world, &queue), (None, None));
    world.publish(&queue, &["a"]);
    world.pass(100);
    world.publish(&queue, &["b", "c"]);
    world.pass(10);
    assert_eq!(ages(&world, &queue), (Some(110), None));
    let sink = Sink::with_room(100);
    let one = world.consume(&queue, &sink, 2);
    assert_eq!(ages(&world, &queue), (Some(10), Some(0)));
    world.pass(1_000);
    let seqs = sink.take_seqs();
    world.settle(&queue, &seqs[..1], Settlement::Ack);
    world.pass(500);
    // "b" is out for longer than "c".
    assert_eq!(ages(&world, &queue), (None, Some(1_500)));
    let holder = Holder { consumer: one, unacked: 2, oldest_at: Some(Timestamp(1_000_110)) };
    assert_eq!(queue.holders(), [holder]);
    world.settle(&queue, &seqs[1..], Settlement::Ack);
    assert_eq!(ages(&world, &queue), (None, Some(500)));
    // When "c" came is not known any more, and that it was out once says nothing of a new one.
    world.broker.cancel(&queue, one, world.now);
    world.settle(&queue, &sink.take_seqs(), Settlement::Requeue);
    world.publish(&queue, &["d"]);
    world.pass(7);
    assert_eq!(ages(&world, &queue), (Some(7), None));
    assert_eq!(world.drain(&queue), ["c", "d"]);
    assert_eq!(ages(&world, &queue), (None, None));
}

#[test]
fn an_old_message_behind_others_is_the_oldest() {
    for arguments in [("x-max-priority", FieldValue::I32(5)), ("x-message-group-header", text("g"))]
    {
        let mut world = World::new();
        let queue = world.queue("q", &[arguments]);
        world.publish(&queue, &["old"]);
        for _ in 0..200 {
            world.pass(10);
            let mut outgoing = Outgoing::default();
            let queues = vec![Arc::clone(&queue)];
            let route = Route { queues, cacheable: true, memory: None, traffic: None };
            outgoing.push(message("new", &[0x08, 0, 5]), &route, 0);
            world.broker.flush(&mut outgoing, world.now);
        }
        let age = queue.pace(world.now).oldest_ready_age_ms;
        assert_eq!(age, Some(2_000));
    }
}

#[test]
fn consumers_without_room_are_seen() {
    let mut world = World::new();
    let queue = world.queue("q", &[]);
    let capacity = |world: &World| queue.pace(world.now).consumer_capacity;
    world.publish(&queue, &["a", "b"]);
    assert_eq!(capacity(&world), None, "nobody consumes");
    let sink = Sink::with_room(100);
    let one = world.consume(&queue, &sink, 1);
    world.pass(4_000);
    assert_eq!(capacity(&world), Some(0.0), "b waits");
    assert_eq!(queue.pace(world.now).time_in_queue_ms, Some(0.0));
    world.settle(&queue, &sink.take_seqs(), Settlement::Ack);
    assert_eq!(queue.pace(world.now).time_in_queue_ms, Some(2_000.0));
    // The consumer has as much as it may, but nothing waits for it.
    world.pass(4_000);
    assert_eq!(capacity(&world), Some(0.5));
    world.pass(60_000);
    assert_eq!(capacity(&world), Some(1.0));
    world.broker.cancel(&queue, one, world.now);
    assert_eq!(capacity(&world), None);
}
