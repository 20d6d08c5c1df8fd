"""Binding and unbinding queues, and what direct, fanout, topic and headers exchanges match."""

from harness.registry import scenario
from harness.tables import binary, boolean, float64, int8, int16, int64, void


def bound(s, kind, *keys, **options):
    """A channel, an exchange of that type, and a queue bound to it with each of these keys."""
    ch = s.channel()
    x, q = s.name("x"), s.name("q")
    ch.exchange_declare(exchange=x, exchange_type=kind)
    ch.queue_declare(queue=q)
    for key in keys:
        ch.queue_bind(queue=q, exchange=x, routing_key=key, **options)
    return ch, x, q


def try_keys(ch, x, *keys):
    """Publishes each key as mandatory: those that match nothing come back."""
    for key in keys:
        ch.publish(x, key, key, mandatory=True)
        ch.sync()


@scenario
def bind_missing_queue(s):
    ch = s.channel()
    ch.queue_bind(queue=s.name("q"), exchange="amq.direct", routing_key="k")


@scenario
def bind_missing_exchange(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.queue_bind(queue=s.name("q"), exchange=s.name("x"), routing_key="k")


@scenario
def bind_both_missing(s):
    s.channel().queue_bind(queue=s.name("q"), exchange=s.name("x"), routing_key="k")


@scenario
def bind_to_the_default_exchange(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.queue_bind(queue=s.name("q"), exchange="", routing_key="k")


@scenario
def unbind_from_the_default_exchange(s):
    ch = s.channel()
    ch.queue_declare(queue=s.name("q"))
    ch.queue_unbind(queue=s.name("q"), exchange="", routing_key=s.name("q"))


@scenario
def bind_without_a_current_queue(s):
    s.channel().queue_bind(queue="", exchange="amq.direct", routing_key="k")


@scenario
def unbind_what_does_not_exist(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_unbind(queue=q, exchange=s.name("x"), routing_key="k")
    ch.queue_unbind(queue=q, exchange="amq.direct", routing_key="k")
    ch.queue_declare(queue=q)
    ch.queue_unbind(queue=q, exchange=s.name("x"), routing_key="k")
    ch.queue_unbind(queue=q, exchange="amq.direct", routing_key="k")


@scenario
def unbind_without_a_current_queue(s):
    s.channel().queue_unbind(queue="", exchange="amq.direct", routing_key="k")


@scenario
def bind_twice_is_one_binding(s):
    ch, x, q = bound(s, "direct", "k", "k")
    ch.publish(x, "k", "once")
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q, no_ack=True)
    ch.queue_unbind(queue=q, exchange=x, routing_key="k")
    try_keys(ch, x, "k")


@scenario
def empty_queue_and_empty_key_bind_with_the_queues_name(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue="", exchange=x, routing_key="")
    try_keys(ch, x, "", q)


@scenario
def named_queue_and_empty_key_bind_with_the_empty_key(s):
    ch, x, q = bound(s, "direct", "")
    try_keys(ch, x, "", q)


@scenario
def empty_queue_and_a_key_bind_with_the_key(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue="", exchange=x, routing_key="k")
    try_keys(ch, x, "k", q)


@scenario
def unbind_with_the_empty_queue_and_the_empty_key(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue="", exchange=x, routing_key="")
    ch.queue_unbind(queue="", exchange=x, routing_key="")
    try_keys(ch, x, q)


@scenario
def direct_matches_exactly(s):
    ch, x, _ = bound(s, "direct", "a.b", "*", "#")
    try_keys(ch, x, "a.b", "*", "#", "a", "A.B", "")


@scenario
def direct_to_several_queues(s):
    ch, x, q = bound(s, "direct", "k")
    ch.queue_declare(queue=s.name("r"))
    ch.queue_bind(queue=s.name("r"), exchange=x, routing_key="k")
    ch.publish(x, "k", "both")
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=s.name("r"), no_ack=True)


@scenario
def one_copy_for_two_matching_bindings(s):
    ch, x, q = bound(s, "topic", "a.*", "*.b", "#")
    ch.publish(x, "a.b", "once")
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q, no_ack=True)


@scenario
def fanout_ignores_keys(s):
    ch, x, _ = bound(s, "fanout", "whatever")
    try_keys(ch, x, "whatever", "other", "")


@scenario
def fanout_binding_has_its_key_in_unbind(s):
    ch, x, q = bound(s, "fanout", "whatever")
    ch.queue_unbind(queue=q, exchange=x, routing_key="other")
    try_keys(ch, x, "k")
    ch.queue_unbind(queue=q, exchange=x, routing_key="whatever")
    try_keys(ch, x, "k")


@scenario
def topic_star(s):
    ch, x, _ = bound(s, "topic", "a.*.c")
    try_keys(ch, x, "a.b.c", "a..c", "a.c", "a.b.b.c", "a.b.c.d", "a.*.c")


@scenario
def topic_hash(s):
    ch, x, _ = bound(s, "topic", "a.#")
    try_keys(ch, x, "a", "a.b", "a.b.c", "a.", "b", "", "ab", "b.a")


@scenario
def topic_hash_alone(s):
    ch, x, _ = bound(s, "topic", "#")
    try_keys(ch, x, "", ".", "a", "a.b")


@scenario
def topic_hash_in_the_middle(s):
    ch, x, _ = bound(s, "topic", "a.#.z")
    try_keys(ch, x, "a.z", "a.b.z", "a.b.c.z", "a", "z", "a.z.b", "a.z.z", "az")


@scenario
def topic_several_hashes(s):
    ch, x, _ = bound(s, "topic", "#.b.#.c.#")
    try_keys(ch, x, "b.c", "a.b.c", "b.a.c", "b.b.c.c", "c.b", "a.b.x.c.y", "b", "")


@scenario
def topic_star_and_hash_together(s):
    ch, x, _ = bound(s, "topic", "*.#", "#.*.nope")
    try_keys(ch, x, "", "a", "a.b", "nope", ".")


@scenario
def topic_star_alone(s):
    ch, x, _ = bound(s, "topic", "*")
    try_keys(ch, x, "", "a", "a.b", "*", "#")


@scenario
def topic_empty_words(s):
    ch, x, _ = bound(s, "topic", "a..b", ".", "*.*.end")
    try_keys(ch, x, "a..b", "a.b", ".", "", "..end", "..")


@scenario
def topic_wildcards_only_as_whole_words(s):
    ch, x, _ = bound(s, "topic", "a*", "b#", "*c.d")
    try_keys(ch, x, "a*", "ab", "b#", "b", "b.c", "*c.d", "xc.d")


@scenario
def topic_empty_binding_key(s):
    ch, x, _ = bound(s, "topic", "")
    try_keys(ch, x, "", "a", ".")


@scenario
def topic_literal_words(s):
    ch, x, _ = bound(s, "topic", "stock.usd.nyse")
    try_keys(ch, x, "stock.usd.nyse", "stock.usd", "stock.usd.nyse.", "Stock.usd.nyse")


@scenario
def unbind_topic_leaves_the_rest(s):
    ch, x, q = bound(s, "topic", "a.*", "a.#", "a.b")
    ch.queue_unbind(queue=q, exchange=x, routing_key="a.#")
    try_keys(ch, x, "a.b", "a.c", "a", "a.b.c")
    ch.queue_unbind(queue=q, exchange=x, routing_key="a.*")
    try_keys(ch, x, "a.b", "a.c")


@scenario
def bindings_go_with_the_queue(s):
    ch, x, q = bound(s, "direct", "k")
    ch.queue_delete(queue=q)
    try_keys(ch, x, "k")
    ch.queue_declare(queue=q)
    try_keys(ch, x, "k")


@scenario
def predeclared_exchanges_route(s):
    ch = s.channel()
    q = s.name("q")
    ch.queue_declare(queue=q)
    for x, key in (("amq.direct", q), ("amq.topic", q + ".*")):
        ch.queue_bind(queue=q, exchange=x, routing_key=key)
        ch.publish(x, key, x, mandatory=True)
        ch.basic_get(queue=q, no_ack=True)


@scenario
def binding_arguments_make_another_binding(s):
    ch, x, q = bound(s, "direct", "k")
    ch.queue_bind(queue=q, exchange=x, routing_key="k", arguments={"a": 1})
    ch.queue_unbind(queue=q, exchange=x, routing_key="k")
    try_keys(ch, x, "k")
    ch.queue_unbind(queue=q, exchange=x, routing_key="k", arguments={"a": 1})
    try_keys(ch, x, "k")


@scenario
def unbind_takes_arguments_in_any_order(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue=q, exchange=x, routing_key="k", arguments={"a": 1, "b": "two"})
    ch.queue_unbind(queue=q, exchange=x, routing_key="k", arguments={"b": "two", "a": 1})
    try_keys(ch, x, "k")


@scenario
def unbind_tells_integer_widths_apart_or_not(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue=q, exchange=x, routing_key="k", arguments={"a": 1})
    ch.queue_unbind(queue=q, exchange=x, routing_key="k", arguments={"a": int64(1)})
    try_keys(ch, x, "k")


# Headers exchanges


def match(s, arguments, *headers):
    """Binds a queue with these arguments and publishes a message with each of these headers."""
    ch, x, _ = bound(s, "headers", "", arguments=arguments)
    for each in headers:
        properties = {} if each is None else {"headers": each}
        ch.publish(x, "", "x", mandatory=True, **properties)
        ch.sync()


@scenario
def headers_all(s):
    match(s, {"x-match": "all", "a": 1, "b": "two"},
          {"a": 1, "b": "two"}, {"a": 1, "b": "two", "c": 3}, {"a": 1}, {"b": "two", "a": 2}, {},
          None)


@scenario
def headers_any(s):
    match(s, {"x-match": "any", "a": 1, "b": "two"},
          {"a": 1}, {"b": "two"}, {"a": 2, "b": "two"}, {"a": 2, "b": "x"}, {"c": 1}, {}, None)


@scenario
def headers_default_is_all(s):
    match(s, {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1})


@scenario
def headers_no_conditions_all(s):
    match(s, {"x-match": "all"}, {"a": 1}, {}, None)


@scenario
def headers_no_conditions_any(s):
    match(s, {"x-match": "any"}, {"a": 1}, {}, None)


@scenario
def headers_no_arguments(s):
    match(s, {}, {"a": 1}, {}, None)


@scenario
def headers_void_means_present(s):
    match(s, {"x-match": "all", "a": void()}, {"a": 1}, {"a": "x"}, {"a": None}, {"b": 1}, {})


@scenario
def headers_of_other_types(s):
    match(s, {"x-match": "all", "a": 1},
          {"a": int64(1)}, {"a": int8(1)}, {"a": int16(1)}, {"a": float64(1.0)}, {"a": "1"},
          {"a": boolean(True)}, {"a": None})


@scenario
def headers_strings_and_binaries(s):
    match(s, {"x-match": "all", "a": "text"}, {"a": "text"}, {"a": binary(b"text")}, {"a": "Text"})


@scenario
def headers_nested(s):
    match(s, {"x-match": "all", "a": {"b": [1, "c"]}},
          {"a": {"b": [1, "c"]}}, {"a": {"b": [1, "d"]}}, {"a": {"b": [1, "c"], "e": 1}})


@scenario
def headers_x_keys_are_ignored(s):
    match(s, {"x-match": "all", "x-a": 1, "b": 2}, {"b": 2}, {"x-a": 1}, {"x-a": 1, "b": 2})


@scenario
def headers_any_with_only_x_keys(s):
    match(s, {"x-match": "any", "x-a": 1}, {"x-a": 1}, {"b": 1})


@scenario
def headers_all_with_x(s):
    match(s, {"x-match": "all-with-x", "x-a": 1, "b": 2}, {"b": 2}, {"x-a": 1, "b": 2})


@scenario
def headers_any_with_x(s):
    match(s, {"x-match": "any-with-x", "x-a": 1, "b": 2}, {"x-a": 1}, {"b": 2}, {"c": 3})


@scenario
def headers_bad_x_match(s):
    match(s, {"x-match": "most"})


@scenario
def headers_x_match_of_a_wrong_type(s):
    match(s, {"x-match": 23})


@scenario
def headers_bad_x_match_on_another_exchange_type(s):
    ch, x, q = bound(s, "direct")
    ch.queue_bind(queue=q, exchange=x, routing_key="k", arguments={"x-match": "most"})


@scenario
def headers_ignore_the_routing_key(s):
    ch, x, q = bound(s, "headers")
    ch.queue_bind(queue=q, exchange=x, routing_key="k", arguments={"a": 1})
    ch.publish(x, "other", "x", mandatory=True, headers={"a": 1})
    ch.basic_get(queue=q, no_ack=True)


@scenario
def headers_two_bindings_one_copy(s):
    ch, x, q = bound(s, "headers")
    ch.queue_bind(queue=q, exchange=x, arguments={"a": 1})
    ch.queue_bind(queue=q, exchange=x, arguments={"b": 1})
    ch.publish(x, "", "once", headers={"a": 1, "b": 1})
    ch.basic_get(queue=q, no_ack=True)
    ch.basic_get(queue=q, no_ack=True)
