"""What each operation needs, what is said when it is missing, and which check comes first.

The users are in `definitions.json`; `p-` and the letters of what they have: c, w and r, by `.*`.
`p-near` has patterns that match parts of names (and may read `amq.direct`, which the driver's round
trips look for), `p-topic` has topic permissions for `amq.topic`, `p-none` has empty patterns, and
`p-outside` has no entry for the vhost. The password is the name.
"""

from harness.registry import scenario
from harness.steps import arguments, declare

FANOUT = {"exchange_type": "fanout"}


def log_in(s, user, **options):
    return s.connect(user=user, password=user, **options)


def made(s, label="q", **named):
    """A queue that the helper has declared."""
    q = s.name(label)
    s.helper.queue_declare(queue=q, arguments=arguments(**named))
    return q


def made_exchange(s, label="x", kind="fanout", **named):
    x = s.name(label)
    s.helper.exchange_declare(exchange=x, exchange_type=kind, arguments=arguments(**named))
    return x


def each(s, users, action):
    """Has one user after the other do it, each on a connection of its own."""
    for user in users:
        s.note(user)
        c = log_in(s, user)
        action(c.channel())
        c.flush()
        c.abort()


LACKING = ("p-none", "p-wr", "p-cr", "p-cw")
NEVER = ("p-none", "p-c", "p-w", "p-r")


# Queues


@scenario
def queue_declare(s):
    each(s, LACKING, lambda ch: ch.queue_declare(queue=s.name("q")))


@scenario
def queue_declare_again(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.queue_declare(queue=q))


@scenario
def queue_declare_of_a_name_by_the_broker(s):
    each(s, LACKING, lambda ch: ch.queue_declare(queue="", exclusive=True))


@scenario
def queue_declare_passively(s):
    q = made(s)
    each(s, NEVER, lambda ch: ch.queue_declare(queue=q, passive=True))


@scenario
def queue_declare_passively_what_is_missing(s):
    each(s, ("p-none", "p-c", "p-r"), lambda ch: ch.queue_declare(queue=s.name("q"), passive=True))


@scenario
def queue_declare_of_a_reserved_name(s):
    each(s, ("p-none", "p-c"), lambda ch: ch.queue_declare(queue="amq.own"))


@scenario
def queue_declare_otherwise_than_it_is(s):
    q = made(s)
    each(s, ("p-none", "p-c"), lambda ch: ch.queue_declare(queue=q, durable=True))


@scenario
def queue_declare_with_wrong_arguments(s):
    each(s, ("p-none", "p-c"), lambda ch: ch.queue_declare(
        queue=s.name("q"), arguments=arguments(x_message_ttl=-1)))


@scenario
def queue_declare_with_dead_letters(s):
    each(s, LACKING, lambda ch: ch.queue_declare(
        queue=s.name("q"), arguments=arguments(x_dead_letter_exchange="amq.fanout")))


@scenario
def queue_declare_with_dead_letters_to_the_default_exchange(s):
    each(s, LACKING, lambda ch: ch.queue_declare(
        queue=s.name("q"), arguments=arguments(x_dead_letter_exchange="")))


@scenario
def queue_declare_again_with_dead_letters(s):
    q = made(s, x_dead_letter_exchange="amq.fanout")
    each(s, LACKING, lambda ch: ch.queue_declare(
        queue=q, arguments=arguments(x_dead_letter_exchange="amq.fanout")))


@scenario
def queue_declare_quorum(s):
    each(s, LACKING, lambda ch: ch.queue_declare(
        queue=s.name("q"), durable=True, arguments=arguments(x_queue_type="quorum")))


@scenario
def queue_declare_of_another_connections_own(s):
    owner = s.connect().channel()
    q = s.name("q")
    owner.queue_declare(queue=q, exclusive=True)
    each(s, ("p-none", "p-wr", "p-c"), lambda ch: ch.queue_declare(queue=q, exclusive=True))


@scenario
def queue_delete(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.queue_delete(queue=q))


@scenario
def queue_delete_what_is_missing(s):
    each(s, LACKING, lambda ch: ch.queue_delete(queue=s.name("q")))


@scenario
def queue_delete_only_if_unused(s):
    q = made(s)
    s.helper.basic_consume(queue=q, consumer_tag="t")
    each(s, ("p-none", "p-c"), lambda ch: ch.queue_delete(queue=q, if_unused=True))


@scenario
def queue_purge(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.queue_purge(queue=q))


@scenario
def queue_purge_what_is_missing(s):
    each(s, ("p-none", "p-r"), lambda ch: ch.queue_purge(queue=s.name("q")))


@scenario
def queue_bind(s):
    q, x = made(s), made_exchange(s)
    each(s, LACKING, lambda ch: ch.queue_bind(queue=q, exchange=x))


@scenario
def queue_bind_to_the_default_exchange(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.queue_bind(queue=q, exchange="", routing_key=q))


@scenario
def queue_bind_a_queue_that_is_missing(s):
    each(s, LACKING, lambda ch: ch.queue_bind(queue=s.name("q"), exchange="amq.fanout"))


@scenario
def queue_bind_to_an_exchange_that_is_missing(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.queue_bind(queue=q, exchange=s.name("x")))


@scenario
def queue_unbind(s):
    q, x = made(s), made_exchange(s)
    s.helper.queue_bind(queue=q, exchange=x)
    each(s, LACKING, lambda ch: ch.queue_unbind(queue=q, exchange=x))


@scenario
def queue_unbind_what_is_missing(s):
    each(s, LACKING, lambda ch: ch.queue_unbind(queue=s.name("q"), exchange=s.name("x")))


# Exchanges


@scenario
def exchange_declare(s):
    each(s, LACKING, lambda ch: ch.exchange_declare(exchange=s.name("x"), **FANOUT))


@scenario
def exchange_declare_again(s):
    x = made_exchange(s)
    each(s, LACKING, lambda ch: ch.exchange_declare(exchange=x, **FANOUT))


@scenario
def exchange_declare_otherwise_than_it_is(s):
    x = made_exchange(s)
    each(s, ("p-none", "p-c"), lambda ch: ch.exchange_declare(exchange=x, exchange_type="direct"))


@scenario
def exchange_declare_of_an_unknown_type(s):
    each(s, ("p-none", "p-c"), lambda ch: ch.exchange_declare(
        exchange=s.name("x"), exchange_type="unheard-of"))


@scenario
def exchange_declare_of_a_reserved_name(s):
    each(s, ("p-none", "p-c"), lambda ch: ch.exchange_declare(exchange="amq.own", **FANOUT))


@scenario
def exchange_declare_passively(s):
    x = made_exchange(s)
    each(s, NEVER, lambda ch: ch.exchange_declare(exchange=x, passive=True))


@scenario
def exchange_declare_passively_what_is_missing(s):
    each(s, ("p-none", "p-c", "p-r"), lambda ch: ch.exchange_declare(
        exchange=s.name("x"), passive=True))


@scenario
def exchange_declare_the_default_one_passively(s):
    each(s, ("p-none", "p-c", "p-r"), lambda ch: ch.exchange_declare(exchange="", passive=True))


@scenario
def exchange_declare_with_alternate(s):
    each(s, LACKING, lambda ch: ch.exchange_declare(
        exchange=s.name("x"), arguments=arguments(alternate_exchange="amq.fanout"), **FANOUT))


@scenario
def exchange_declare_again_with_alternate(s):
    x = made_exchange(s, alternate_exchange="amq.fanout")
    each(s, LACKING, lambda ch: ch.exchange_declare(
        exchange=x, arguments=arguments(alternate_exchange="amq.fanout"), **FANOUT))


@scenario
def exchange_delete(s):
    x = made_exchange(s)
    each(s, LACKING, lambda ch: ch.exchange_delete(exchange=x))


@scenario
def exchange_delete_what_is_missing(s):
    each(s, LACKING, lambda ch: ch.exchange_delete(exchange=s.name("x")))


@scenario
def exchange_delete_one_of_the_brokers(s):
    each(s, ("p-none", "p-c"), lambda ch: ch.exchange_delete(exchange="amq.fanout"))


@scenario
def exchange_bind(s):
    x, y = made_exchange(s, "x"), made_exchange(s, "y")
    each(s, LACKING, lambda ch: ch.exchange_bind(source=x, destination=y))


@scenario
def exchange_bind_what_is_missing(s):
    each(s, LACKING, lambda ch: ch.exchange_bind(source=s.name("x"), destination=s.name("y")))


@scenario
def exchange_bind_the_default_one(s):
    x = made_exchange(s)
    each(s, LACKING, lambda ch: ch.exchange_bind(source="", destination=x))


@scenario
def exchange_unbind(s):
    x, y = made_exchange(s, "x"), made_exchange(s, "y")
    s.helper.exchange_bind(source=x, destination=y)
    each(s, LACKING, lambda ch: ch.exchange_unbind(source=x, destination=y))


# Messages


def publishing(s, users, exchange="", routing_key="", **options):
    def action(ch):
        ch.confirm_select()
        ch.publish(exchange, routing_key, "x", **options)
        ch.confirms()
    each(s, users, action)


@scenario
def publish_to_the_default_exchange(s):
    publishing(s, LACKING, "", made(s))


@scenario
def publish_to_an_exchange(s):
    publishing(s, LACKING, made_exchange(s))


@scenario
def publish_to_an_exchange_that_is_missing(s):
    publishing(s, LACKING, s.name("x"))


@scenario
def publish_to_an_internal_exchange(s):
    x = s.name("x")
    s.helper.exchange_declare(exchange=x, internal=True, **FANOUT)
    publishing(s, ("p-none", "p-w"), x)


@scenario
def publish_mandatory_to_nowhere(s):
    publishing(s, ("p-none", "p-w"), "amq.direct", s.name("q"), mandatory=True)


@scenario
def publish_in_a_transaction(s):
    def action(ch):
        ch.tx_select()
        ch.publish("amq.fanout", "", "x")
        ch.tx_commit()
    each(s, ("p-none", "p-w"), action)


@scenario
def publish_as_another_user(s):
    publishing(s, ("p-none", "p-w"), "amq.fanout", user_id="guest")


@scenario
def publish_as_oneself(s):
    publishing(s, ("p-w",), "amq.fanout", user_id="p-w")


@scenario
def basic_get(s):
    q = made(s)
    s.put(q, "x")
    each(s, LACKING, lambda ch: ch.basic_get(queue=q, no_ack=True))


@scenario
def basic_get_what_is_missing(s):
    each(s, ("p-none", "p-r"), lambda ch: ch.basic_get(queue=s.name("q")))


@scenario
def basic_consume(s):
    q = made(s)
    each(s, LACKING, lambda ch: ch.basic_consume(queue=q, consumer_tag="t"))


@scenario
def basic_consume_what_is_missing(s):
    each(s, ("p-none", "p-r"), lambda ch: ch.basic_consume(queue=s.name("q"), consumer_tag="t"))


@scenario
def basic_consume_replies(s):
    def action(ch):
        ch.basic_consume(queue="amq.rabbitmq.reply-to", consumer_tag="t", no_ack=True)
        ch.close()
    each(s, ("p-none", "p-c", "p-r"), action)


@scenario
def what_needs_no_permission(s):
    def action(ch):
        ch.basic_qos(prefetch_count=1)
        ch.basic_recover(requeue=True)
        ch.basic_cancel(consumer_tag="unheard-of")
        ch.confirm_select()
        ch.close()
    each(s, ("p-none",), action)


@scenario
def acknowledgements_need_none(s):
    q = made(s)
    s.put(q, "x")

    def action(ch):
        ch.basic_get(queue=q)
        ch.basic_reject(delivery_tag=1, requeue=True)
        ch.basic_get(queue=q)
        ch.basic_ack(delivery_tag=2)
    each(s, ("p-r",), action)


# Patterns


@scenario
def pattern_matches_part_of_a_name(s):
    each(s, ("p-near",), lambda ch: ch.queue_declare(queue=s.name("own-q")))


@scenario
def pattern_does_not_match(s):
    each(s, ("p-near",), lambda ch: ch.queue_declare(queue=s.name("q")))


@scenario
def pattern_for_the_default_exchange(s):
    publishing(s, ("p-near",), "", made(s))


@scenario
def pattern_tells_upper_case(s):
    each(s, ("p-near",), lambda ch: ch.queue_declare(queue=s.name("OWN-q")))


@scenario
def pattern_of_dead_letters_elsewhere(s):
    each(s, ("p-near",), lambda ch: ch.queue_declare(
        queue=s.name("own-q"), arguments=arguments(x_dead_letter_exchange="amq.fanout")))


# Topics


def topics(s, user, *keys, **headers):
    q = made(s)
    s.helper.queue_bind(queue=q, exchange="amq.topic", routing_key=f"{user}.#")
    for key in keys:
        publishing(s, (user,), "amq.topic", key, headers=headers)


@scenario
def topic_publish_own(s):
    topics(s, "p-topic", "p-topic.a")


@scenario
def topic_publish_other(s):
    topics(s, "p-topic", "other.a", "", "p-topicx.a", "x.p-topic.a")


@scenario
def topic_publish_with_copies(s):
    topics(s, "p-topic", "p-topic.a", CC=["other.a"])


@scenario
def topic_publish_with_blind_copies(s):
    topics(s, "p-topic", "p-topic.a", BCC=["other.a"])


@scenario
def topic_publish_to_another_exchange(s):
    publishing(s, ("p-topic",), made_exchange(s, kind="topic"), "other.a")


@scenario
def topic_publish_to_a_direct_exchange(s):
    publishing(s, ("p-topic",), "amq.direct", "other.a")


@scenario
def topic_bind_own(s):
    q = made(s)
    each(s, ("p-topic",), lambda ch: ch.queue_bind(
        queue=q, exchange="amq.topic", routing_key="p-topic.#"))


@scenario
def topic_bind_other(s):
    q = made(s)
    for key in ("other.#", "#", ""):
        each(s, ("p-topic",), lambda ch, key=key: ch.queue_bind(
            queue=q, exchange="amq.topic", routing_key=key))


@scenario
def topic_unbind_other(s):
    q = made(s)
    s.helper.queue_bind(queue=q, exchange="amq.topic", routing_key="other.#")
    each(s, ("p-topic",), lambda ch: ch.queue_unbind(
        queue=q, exchange="amq.topic", routing_key="other.#"))


@scenario
def topic_bind_exchanges(s):
    x = made_exchange(s)
    for key in ("p-topic.#", "other.#"):
        each(s, ("p-topic",), lambda ch, key=key: ch.exchange_bind(
            source="amq.topic", destination=x, routing_key=key))


@scenario
def topic_bind_lacking_both(s):
    """What is missing on the exchange is said before what is missing on the topic."""
    q = made(s)
    each(s, ("p-none",), lambda ch: ch.queue_bind(
        queue=q, exchange="amq.topic", routing_key="other.#"))


# Vhosts and logins


@scenario
def vhost_without_an_entry(s):
    log_in(s, "p-outside", log=True)


@scenario
def vhost_that_is_missing(s):
    s.connect(vhost="unheard-of", log=True)


@scenario
def vhost_that_is_missing_for_a_user_of_none(s):
    log_in(s, "p-outside", vhost="unheard-of", log=True)


@scenario
def vhost_other(s):
    log_in(s, "p-near", vhost="p-other", log=True)


@scenario
def vhost_other_without_an_entry(s):
    log_in(s, "p-c", vhost="p-other", log=True)


@scenario
def permissions_of_another_vhost(s):
    c = log_in(s, "p-near", vhost="p-other")
    c.channel().queue_declare(queue="anything", exclusive=True)


@scenario(seconds=1)
def login_without_a_password_of_a_user_who_has_none(s):
    c = s.connect(user="p-keyless", response="\0p-keyless\0", log=True)
    c.until_closed()


@scenario(seconds=1)
def login_with_a_password_of_a_user_who_has_none(s):
    c = s.connect(user="p-keyless", password="x", log=True)
    c.until_closed()


# What a refusal leaves behind


@scenario
def publishes_after_a_refused_one_are_lost(s):
    q = made(s)
    ch = log_in(s, "p-near").channel()
    ch.publish("amq.fanout", "", "refused")
    ch.publish("amq.fanout", "", "late")
    ch.wait("channel_close")
    s.until(q, messages=0)


@scenario
def other_channels_go_on(s):
    c = log_in(s, "p-r")
    one, two = c.channel(), c.channel()
    q = made(s)
    one.queue_purge(queue=q)
    two.queue_delete(queue=q)
    one.queue_purge(queue=q)


@scenario
def refused_with_nowait(s):
    ch = log_in(s, "p-none").channel()
    ch.queue_declare(queue=s.name("q"), nowait=True)
    ch.wait("channel_close")
    s.until_gone(s.name("q"))


@scenario
def two_refusals_in_one_go(s):
    ch = log_in(s, "p-none").channel()
    ch.queue_declare(queue=s.name("q"), nowait=True)
    ch.queue_delete(queue=s.name("q"), nowait=True)
    ch.wait("channel_close")
