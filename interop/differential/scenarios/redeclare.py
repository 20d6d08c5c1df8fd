"""Declaring again with other arguments: each that is compared, and in which words."""

from harness.registry import scenario
from harness.tables import int8, int64, uint32

QUORUM = {"x-queue-type": "quorum"}


def again(s, first, *several, durable=False):
    """Declares a queue with `first`, then on a new channel each with the others."""
    c = s.connect()
    for wanted in (first, *several):
        c.renew().queue_declare(queue=s.name("q"), durable=durable, arguments=wanted)


@scenario
def message_ttl(s):
    again(s, {"x-message-ttl": 1000}, {"x-message-ttl": 1001}, {}, {"x-message-ttl": int64(1000)},
          {"x-message-ttl": uint32(1000)}, {"x-message-ttl": "1000"})


@scenario
def expires(s):
    again(s, {"x-expires": 60000}, {"x-expires": 60001}, {})


@scenario
def expires_added(s):
    again(s, {}, {"x-expires": 60000})


@scenario
def max_length(s):
    again(s, {"x-max-length": 10}, {"x-max-length": 11}, {}, {"x-max-length": int8(10)})


@scenario
def max_length_bytes(s):
    again(s, {"x-max-length-bytes": 10}, {"x-max-length-bytes": 11}, {})


@scenario
def overflow(s):
    again(s, {"x-overflow": "reject-publish"}, {"x-overflow": "drop-head"}, {},
          {"x-overflow": "reject-publish-dlx"})


@scenario
def dead_letter_exchange(s):
    again(s, {"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"},
          {"x-dead-letter-exchange": ""}, {})


@scenario
def dead_letter_routing_key(s):
    one = {"x-dead-letter-exchange": "a"}
    again(s, one | {"x-dead-letter-routing-key": "k"}, one,
          one | {"x-dead-letter-routing-key": "l"}, one | {"x-dead-letter-routing-key": ""})


@scenario
def max_priority(s):
    again(s, {"x-max-priority": 5}, {"x-max-priority": 6}, {}, {"x-max-priority": int8(5)})


@scenario
def single_active_consumer(s):
    again(s, {"x-single-active-consumer": True}, {"x-single-active-consumer": False}, {})


@scenario
def single_active_consumer_false(s):
    again(s, {"x-single-active-consumer": False}, {}, {"x-single-active-consumer": True})


@scenario
def queue_type(s):
    again(s, QUORUM, {}, {"x-queue-type": "classic"}, QUORUM, durable=True)


@scenario
def queue_type_quorum_for_a_classic_queue(s):
    again(s, {}, QUORUM, {"x-queue-type": "classic"}, durable=True)


@scenario
def queue_mode_and_version(s):
    again(s, {"x-queue-mode": "lazy", "x-queue-version": 2}, {"x-queue-mode": "lazy"},
          {"x-queue-version": 2}, {"x-queue-mode": "default", "x-queue-version": 2}, {})


@scenario
def quorum_delivery_limit(s):
    again(s, QUORUM | {"x-delivery-limit": 3}, QUORUM | {"x-delivery-limit": 4}, QUORUM,
          QUORUM | {"x-delivery-limit": int64(3)}, durable=True)


@scenario
def quorum_initial_group_size(s):
    again(s, QUORUM | {"x-quorum-initial-group-size": 1},
          QUORUM | {"x-quorum-initial-group-size": 3}, QUORUM, durable=True)


@scenario
def quorum_dead_letter_strategy(s):
    base = QUORUM | {"x-dead-letter-exchange": "a", "x-overflow": "reject-publish"}
    again(s, base | {"x-dead-letter-strategy": "at-least-once"}, base,
          base | {"x-dead-letter-strategy": "at-most-once"}, durable=True)


@scenario
def quorum_not_durable(s):
    c = s.connect()
    c.renew().queue_declare(queue=s.name("q"), durable=True, arguments=QUORUM)
    c.renew().queue_declare(queue=s.name("q"), durable=False, arguments=QUORUM)
    c.renew().queue_declare(queue=s.name("q"), durable=True, exclusive=True, arguments=QUORUM)
    c.renew().queue_declare(queue=s.name("q"), passive=True)


@scenario
def which_of_several_is_named(s):
    again(s, {"x-message-ttl": 1, "x-expires": 60000, "x-max-length": 1, "x-overflow": "drop-head",
              "x-max-priority": 1}, {}, {"x-max-priority": 1, "x-max-length": 1},
          {"x-message-ttl": 1, "x-expires": 60000, "x-max-length": 1, "x-max-priority": 1})


@scenario
def refused_leaves_the_queue_as_it_is(s):
    c = s.connect()
    q = s.name("q")
    c.renew().queue_declare(queue=q, arguments={"x-max-length": 1})
    c.renew().queue_declare(queue=q, arguments={"x-max-length": 5})
    s.put(q, "a", "b")
    s.drain(q)


@scenario
def refused_declares_nothing(s):
    c = s.connect()
    q = s.name("q")
    for wanted in ({"x-message-ttl": -1}, {"x-overflow": "no"}, {"x-queue-type": "no"},
                   {"x-dead-letter-routing-key": "k"}):
        c.renew().queue_declare(queue=q, arguments=wanted)
        c.renew().queue_declare(queue=q, passive=True)


@scenario
def quorum_values_of_other_types(s):
    c = s.connect()
    for number, (name, value) in enumerate((
            ("x-message-ttl", "a"), ("x-message-ttl", -1), ("x-expires", 0), ("x-max-length", -1),
            ("x-max-length-bytes", "a"), ("x-dead-letter-exchange", 5),
            ("x-single-active-consumer", "yes"), ("x-max-in-memory-length", "a"),
            ("x-max-in-memory-bytes", -1), ("x-queue-master-locator", "min-masters"),
            ("x-stream-max-segment-size-bytes", 5), ("x-overflow", "reject-publish-dlx"))):
        c.renew().queue_declare(queue=s.name(f"q{number}"), durable=True,
                                arguments=QUORUM | {name: value})
