"""Exchange types of RabbitMQ's plugins: x-consistent-hash, x-modulus-hash, x-random,
x-recent-history."""

from harness.registry import scenario


def declare(s, ch, kind, arguments=None):
    x = s.name("x")
    ch.exchange_declare(exchange=x, exchange_type=kind, arguments=arguments or {})
    return x


def bound(s, ch, x, keys, prefix="q"):
    """A queue for each binding key, bound in that order."""
    queues = []
    for number, key in enumerate(keys):
        queues.append(s.name(f"{prefix}{number}"))
        ch.queue_declare(queue=queues[-1])
        ch.queue_bind(queue=queues[-1], exchange=x, routing_key=key)
    return queues


def publish(ch, x, keys, **properties):
    for key in keys:
        ch.publish(x, key, f"to {key}", **properties)
    ch.confirms()


def drain(s, queues):
    for queue in queues:
        s.drain(queue)


def total(s, queues, wanted):
    """Waits until the queues hold so many messages together."""
    counts = []
    for _ in range(200):
        counts = [s.helper.silent_call("queue_declare", queue=queue, passive=True).message_count
                  for queue in queues]
        if sum(counts) == wanted:
            return s.note(f"{wanted} messages in {len(queues)} queues")
    return s.note(f"{sum(counts)} of {wanted} messages")


@scenario
def each_type(s):
    ch = s.channel()
    for kind in ("x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"):
        ch.exchange_declare(exchange=s.name(kind), exchange_type=kind)
        ch.exchange_declare(exchange=s.name(kind), exchange_type=kind)


@scenario
def hash_by_key_with_weights(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["3", "1", "6"])
    publish(ch, x, [f"customer.{number}" for number in range(30)])
    drain(s, queues)


@scenario
def hash_of_odd_keys(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["10", "10", "10", "10"])
    keys = ["", ".", "größe 漢", "a" * 255, "twelve bytes", "eleven byte", "thirteen byte"]
    publish(ch, x, keys)
    drain(s, queues)


@scenario
def hash_after_a_queue_is_added_and_another_goes(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["2", "3", "4"])
    queues += bound(s, ch, x, ["5"], prefix="a")
    publish(ch, x, [f"k{number}" for number in range(12)])
    drain(s, queues)
    ch.queue_unbind(queue=queues[1], exchange=x, routing_key="3")
    publish(ch, x, [f"k{number}" for number in range(12)])
    drain(s, queues)
    ch.queue_delete(queue=queues[0])
    publish(ch, x, [f"k{number}" for number in range(12)])
    drain(s, queues[1:])


@scenario
def hash_without_a_binding(s):
    ch = s.channel()
    x = declare(s, ch, "x-consistent-hash")
    ch.publish(x, "k", "x", mandatory=True)
    ch.wait("basic_return")


@scenario
def hash_with_one_binding(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["1"])
    publish(ch, x, ["a", "b", ""])
    drain(s, queues)


@scenario
def hash_ignores_cc(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["1", "1", "1"])
    publish(ch, x, ["a", "b", "c", "d"], headers={"CC": ["e", "f", "g", "h", "i", "j"]})
    drain(s, queues)


@scenario
def hash_by_message_id(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash", {"hash-property": "message_id"})
    queues = bound(s, ch, x, ["1", "1", "1"])
    for number in range(12):
        ch.publish(x, "same", f"m{number}", message_id=f"id-{number}")
    ch.confirms()
    drain(s, queues)


@scenario
def hash_by_correlation_id(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash", {"hash-property": "correlation_id"})
    queues = bound(s, ch, x, ["1", "1", "1"])
    for number in range(12):
        ch.publish(x, "same", f"m{number}", correlation_id=f"id-{number}")
    publish(ch, x, ["without", "it", "all", "together"])
    drain(s, queues)


@scenario
def hash_by_timestamp(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash", {"hash-property": "timestamp"})
    queues = bound(s, ch, x, ["1", "1", "1"])
    for number in range(12):
        ch.publish(x, "same", f"m{number}", timestamp=1_700_000_000 + number)
    ch.confirms()
    drain(s, queues)


@scenario
def hash_by_header_without_it(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash", {"hash-header": "user"})
    queues = bound(s, ch, x, ["1", "1", "1"])
    publish(ch, x, ["a", "b"])
    publish(ch, x, ["c", "d"], headers={"other": "x"})
    drain(s, queues)


@scenario
def hash_by_header(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash", {"hash-header": "user"})
    queues = bound(s, ch, x, ["1", "1", "1"])
    for number in range(12):
        ch.publish(x, "same", f"m{number}", headers={"user": f"u{number % 4}"})
    ch.confirms()
    total(s, queues, 12)


@scenario
def hash_arguments(s):
    c = s.connect()
    for arguments in (
        {"hash-header": "h", "hash-property": "message_id"},
        {"hash-header": "h", "hash-property": "banana"},
        {"hash-property": "app_id"},
        {"hash-property": ""},
        {"hash-header": ""},
        {"hash-property": "timestamp"},
    ):
        c.renew().exchange_declare(exchange=s.name("x"), exchange_type="x-consistent-hash",
                                   arguments=arguments)


@scenario
def hash_argument_of_a_wrong_type(s):
    c = s.connect()
    c.channel().exchange_declare(exchange=s.name("x"), exchange_type="x-consistent-hash",
                                 arguments={"hash-header": 5})
    c.until_closed()


@scenario
def hash_redeclared_with_another_argument(s):
    ch = s.channel()
    declare(s, ch, "x-consistent-hash", {"hash-header": "a"})
    declare(s, ch, "x-consistent-hash", {"hash-header": "b"})
    declare(s, ch, "x-consistent-hash")


@scenario
def hash_binding_keys(s):
    c = s.connect()
    ch = c.channel()
    x, q = declare(s, ch, "x-consistent-hash"), s.name("q")
    ch.queue_declare(queue=q)
    for key in ("abc", "", "1.5", " 1", "1 ", "0", "-1", "+2", "007", "a\"b\\c", "1e3"):
        c.renew().queue_bind(queue=q, exchange=x, routing_key=key)


@scenario
def hash_binding_key_of_an_exchange(s):
    c = s.connect()
    ch = c.channel()
    x, y = declare(s, ch, "x-consistent-hash"), s.name("y")
    ch.exchange_declare(exchange=y, exchange_type="fanout")
    ch.exchange_bind(destination=y, source=x, routing_key="10")
    c.renew().exchange_bind(destination=y, source=x, routing_key="ten")


@scenario
def hash_binding_key_too_large(s):
    ch = s.channel()
    x, q = declare(s, ch, "x-consistent-hash"), s.name("q")
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=x, routing_key="10001")


@scenario
def hash_with_the_first_of_two_bindings_gone(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-consistent-hash")
    queues = bound(s, ch, x, ["1", "1"])
    ch.queue_bind(queue=queues[0], exchange=x, routing_key="2")
    publish(ch, x, [f"k{number}" for number in range(8)])
    drain(s, queues)
    ch.queue_unbind(queue=queues[0], exchange=x, routing_key="1")
    publish(ch, x, [f"k{number}" for number in range(4)])
    drain(s, queues)


@scenario
def modulus_by_key(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-modulus-hash")
    queues = bound(s, ch, x, [""] * 4)
    publish(ch, x, [f"k{number}" for number in range(16)] + ["", "größe 漢"])
    drain(s, queues)


@scenario
def modulus_counts_cc(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-modulus-hash")
    queues = bound(s, ch, x, [""] * 3)
    publish(ch, x, ["a", "b", "c", "d", "e"], headers={"CC": ["f", "g"]})
    drain(s, queues)


@scenario
def modulus_without_a_binding(s):
    ch = s.channel()
    x = declare(s, ch, "x-modulus-hash")
    ch.publish(x, "k", "x", mandatory=True)
    ch.wait("basic_return")


@scenario
def random_to_each_once(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-random")
    queues = bound(s, ch, x, ["a", "", "c"])
    publish(ch, x, [f"k{number}" for number in range(20)])
    total(s, queues, 20)


@scenario
def random_with_one_and_without(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-random")
    queues = bound(s, ch, x, ["a"])
    publish(ch, x, ["k", "l"])
    drain(s, queues)
    ch.queue_unbind(queue=queues[0], exchange=x, routing_key="a")
    ch.publish(x, "k", "x", mandatory=True)
    ch.wait("basic_return")


@scenario
def history_default_length(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-recent-history")
    publish(ch, x, [f"k{number}" for number in range(23)])
    queues = bound(s, ch, x, ["whatever"])
    publish(ch, x, ["new"])
    drain(s, queues)


@scenario
def history_of_a_length(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-recent-history", {"x-recent-history-length": 2})
    publish(ch, x, ["a", "b", "c"], headers={"h": 1}, delivery_mode=2)
    drain(s, bound(s, ch, x, [""]))


@scenario
def history_to_a_second_binding_and_to_the_same_again(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-recent-history")
    publish(ch, x, ["a", "b"])
    queues = bound(s, ch, x, [""])
    ch.queue_bind(queue=queues[0], exchange=x, routing_key="")
    ch.queue_bind(queue=queues[0], exchange=x, routing_key="other")
    publish(ch, x, ["c"])
    drain(s, queues)


@scenario
def history_without_what_is_not_to_be_stored(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-recent-history")
    for number, value in enumerate((True, False, 1, "true")):
        ch.publish(x, "", f"m{number}", headers={"x-recent-history-no-store": value})
    ch.confirms()
    drain(s, bound(s, ch, x, [""]))


@scenario
def history_to_an_exchange(s):
    ch = s.channel()
    ch.confirm_select()
    x, y, q = declare(s, ch, "x-recent-history"), s.name("y"), s.name("q")
    publish(ch, x, ["a", "b", "c"])
    ch.exchange_declare(exchange=y, exchange_type="fanout")
    ch.queue_declare(queue=q)
    ch.queue_bind(queue=q, exchange=y)
    ch.exchange_bind(destination=y, source=x)
    s.until(q, messages=3)
    drain(s, [q])


@scenario
def history_to_an_exchange_that_leads_nowhere(s):
    c = s.connect()
    ch = c.channel()
    ch.confirm_select()
    x, y = declare(s, ch, "x-recent-history"), s.name("y")
    publish(ch, x, ["a"])
    ch.exchange_declare(exchange=y, exchange_type="fanout")
    ch.exchange_bind(destination=y, source=x)
    c.until_closed()


@scenario
def history_of_what_comes_from_an_exchange(s):
    ch = s.channel()
    ch.confirm_select()
    x, y = declare(s, ch, "x-recent-history"), s.name("y")
    ch.exchange_declare(exchange=y, exchange_type="fanout")
    ch.exchange_bind(destination=x, source=y)
    publish(ch, y, ["a", "b"])
    drain(s, bound(s, ch, x, [""]))


@scenario
def history_of_a_transaction(s):
    ch = s.channel()
    ch.tx_select()
    x = declare(s, ch, "x-recent-history")
    ch.publish(x, "", "rolled back")
    ch.tx_rollback()
    ch.publish(x, "", "committed")
    ch.tx_commit()
    drain(s, bound(s, ch, x, [""]))


@scenario
def history_goes_with_the_exchange(s):
    ch = s.channel()
    ch.confirm_select()
    x = declare(s, ch, "x-recent-history")
    publish(ch, x, ["a"])
    ch.exchange_delete(exchange=x)
    declare(s, ch, "x-recent-history")
    drain(s, bound(s, ch, x, [""]))


@scenario
def history_lengths(s):
    c = s.connect()
    for value in (0, -1, "5", "", True, 1.5, 1, 1 << 40):
        c.renew().exchange_declare(exchange=s.name("x"), exchange_type="x-recent-history",
                                   arguments={"x-recent-history-length": value})
