"""Queue arguments: which values are refused, and how."""

from harness.registry import scenario
from harness.tables import binary, boolean, float64, int8, int64, timestamp, uint32, void


def declares(s, *several, durable=False, exclusive=False, auto_delete=False):
    """Declares a queue with each of these arguments, each on a new channel 1."""
    c = s.connect()
    for number, arguments in enumerate(several):
        if c.closing or c.ended:
            c.flush()
            c = s.connect()
        c.renew().queue_declare(queue=s.name(f"q{number}"), durable=durable, exclusive=exclusive,
                                auto_delete=auto_delete, arguments=arguments)


def values(s, name, *several, **options):
    declares(s, *({name: value} for value in several), **options)


BAD_NUMBERS = (-1, "a", 1 << 40, True, float64(1.5), None, [1], {"a": 1}, binary(b"1"),
               timestamp(5), "10")


@scenario
def message_ttl(s):
    values(s, "x-message-ttl", 0, 1, int8(5), int64(5), uint32(5), (1 << 32) - 1, 1 << 32,
           *BAD_NUMBERS)


TEN_YEARS_MS = 315360000000


@scenario
def largest_message_ttl(s):
    values(s, "x-message-ttl", TEN_YEARS_MS, TEN_YEARS_MS + 1, (1 << 63) - 1)


@scenario
def largest_expires(s):
    values(s, "x-expires", TEN_YEARS_MS, TEN_YEARS_MS + 1, (1 << 63) - 1)


@scenario
def expires(s):
    values(s, "x-expires", 0, 100000, int64(100000), *BAD_NUMBERS)


@scenario
def max_length(s):
    values(s, "x-max-length", 0, 1, int8(5), int64(5), *BAD_NUMBERS)


@scenario
def max_length_bytes(s):
    values(s, "x-max-length-bytes", 0, 1, int64(5), *BAD_NUMBERS)


@scenario
def max_priority(s):
    values(s, "x-max-priority", 0, 1, 255, 256, int8(5), *BAD_NUMBERS)


@scenario
def overflow(s):
    values(s, "x-overflow", "drop-head", "reject-publish", "reject-publish-dlx", "maybe", "", 5,
           None)


@scenario
def dead_letter_exchange(s):
    values(s, "x-dead-letter-exchange", "missing", "", 133, True, None, [], binary(b"x"))


@scenario
def dead_letter_routing_key(s):
    declares(s, {"x-dead-letter-routing-key": "k"},
             {"x-dead-letter-exchange": "x", "x-dead-letter-routing-key": "k"},
             {"x-dead-letter-exchange": "x", "x-dead-letter-routing-key": 5},
             {"x-dead-letter-routing-key": 5})


@scenario
def queue_type(s):
    values(s, "x-queue-type", "classic", "banana", "", 5, None, "CLASSIC", True)


@scenario
def queue_mode(s):
    values(s, "x-queue-mode", "default", "lazy", "odd", "", 5)


@scenario
def queue_version(s):
    values(s, "x-queue-version", 1, 2, 0, 9, "1", -1)


@scenario
def single_active_consumer(s):
    values(s, "x-single-active-consumer", True, False, "yes", 1, None)


@scenario
def delivery_limit_on_a_classic_queue(s):
    values(s, "x-delivery-limit", 3, "a", -1)


@scenario
def arguments_of_other_queue_types(s):
    declares(s, {"x-quorum-initial-group-size": 3}, {"x-max-age": "1h"},
             {"x-stream-max-segment-size-bytes": 1000000}, {"x-max-in-memory-length": 5},
             {"x-initial-cluster-size": 3}, {"x-queue-leader-locator": "client-local"},
             {"x-max-in-memory-bytes": 5}, {"x-stream-offset": "first"})


@scenario
def master_locator(s):
    values(s, "x-queue-master-locator", "client-local", "min-masters", "random")


@scenario
def master_locator_unknown(s):
    values(s, "x-queue-master-locator", "nope")


@scenario
def master_locator_of_a_wrong_type(s):
    values(s, "x-queue-master-locator", 5)


@scenario
def consumer_timeout(s):
    values(s, "x-consumer-timeout", 1000, "a")


@scenario
def unknown_arguments(s):
    declares(s, {"x-nonsense": "a"}, {"nonsense": 1}, {"": 1}, {"x-message-ttl ": "a"},
             {"X-Message-TTL": "a"})


@scenario
def first_of_several_errors(s):
    """In which order arguments are looked at."""
    declares(s,
             {"x-message-ttl": "a", "x-expires": "b"}, {"x-expires": "b", "x-message-ttl": "a"},
             {"x-overflow": "c", "x-max-length": "d"}, {"x-max-length": "d", "x-overflow": "c"},
             {"x-max-priority": -1, "x-dead-letter-exchange": 5},
             {"x-delivery-limit": 3, "x-message-ttl": "a"},
             {"x-queue-type": "banana", "x-message-ttl": "a"})


@scenario
def same_argument_twice(s):
    declares(s, [("x-message-ttl", 5), ("x-message-ttl", "a")],
             [("x-message-ttl", "a"), ("x-message-ttl", 5)])


@scenario
def checked_on_redeclare_too(s):
    c = s.connect()
    q = s.name("q")
    c.renew().queue_declare(queue=q)
    c.renew().queue_declare(queue=q, arguments={"x-message-ttl": "a"})
    c.renew().queue_declare(queue=q, durable=True, arguments={"x-message-ttl": "a"})


@scenario
def consumer_arguments(s):
    c = s.connect()
    q = s.name("q")
    c.renew().queue_declare(queue=q)
    for value in (5, -5, int8(1), int64(1), "a", True, float64(1.0), void(), [1]):
        c.renew().basic_consume(queue=q, arguments={"x-priority": value})


@scenario
def consumer_arguments_unknown(s):
    c = s.connect()
    q = s.name("q")
    c.renew().queue_declare(queue=q)
    c.renew().basic_consume(queue=q, arguments={"x-cancel-on-ha-failover": True})
    c.renew().basic_consume(queue=q, arguments={"x-cancel-on-ha-failover": "a"})
    c.renew().basic_consume(queue=q, arguments={"x-whatever": boolean(1)})


QUORUM, STREAM = {"x-queue-type": "quorum"}, {"x-queue-type": "stream"}


@scenario
def quorum_properties(s):
    declares(s, QUORUM)
    declares(s, QUORUM, durable=True, exclusive=True)
    declares(s, QUORUM, durable=True, auto_delete=True)


@scenario
def quorum_arguments(s):
    declares(s, *(QUORUM | more for more in (
        {"x-max-priority": 5}, {"x-queue-mode": "lazy"}, {"x-delivery-limit": "a"},
        {"x-delivery-limit": -1}, {"x-max-age": "1h"}, {"x-overflow": "maybe"},
        {"x-quorum-initial-group-size": 0}, {"x-quorum-initial-group-size": "a"},
        {"x-queue-version": 1}, {"x-dead-letter-strategy": "odd"})), durable=True)


@scenario
def stream_properties(s):
    declares(s, STREAM)
    declares(s, STREAM, durable=True, exclusive=True)
    declares(s, STREAM, durable=True, auto_delete=True)


@scenario
def stream_arguments(s):
    declares(s, *(STREAM | more for more in (
        {"x-message-ttl": 5}, {"x-expires": 5}, {"x-max-length": 5}, {"x-max-priority": 5},
        {"x-dead-letter-exchange": "x"}, {"x-single-active-consumer": True},
        {"x-overflow": "drop-head"}, {"x-delivery-limit": 5}, {"x-queue-mode": "lazy"},
        {"x-stream-max-segment-size-bytes": "a"}, {"x-stream-max-segment-size-bytes": -1},
        {"x-max-age": 5})), durable=True)
