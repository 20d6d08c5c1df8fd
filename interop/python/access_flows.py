"""Flows about who may do what, and how those who may not are told."""

import os

import pika

from harness import URI, WAIT_S, check, drain, equal

PASSWORD = os.environ.get("USERS_PASSWORD")


def log_in(user, password=PASSWORD, vhost="/", proxy=False):
    parameters = pika.URLParameters(URI)
    parameters.credentials = pika.PlainCredentials(user, password)
    parameters.virtual_host = vhost
    parameters.socket_timeout = parameters.stack_timeout = WAIT_S
    if proxy:
        host, port = os.environ["PROXY_ADDRESS"].split(":")
        parameters.host, parameters.port = host, int(port)
    return pika.BlockingConnection(parameters)


def refused(user, text, action):
    """Asserts that the channel on which `user` does `action` is closed, with 403 and this text."""
    connection = log_in(user)
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        action(channel)
    except pika.exceptions.ChannelClosedByBroker as error:
        equal((error.reply_code, error.reply_text),
              (403, f"ACCESS_REFUSED - {text} refused for user '{user}'"), "the closing")
    else:
        raise AssertionError(f"{user} was let do it: {text}")
    check(connection.is_open, "a channel error must leave the connection open")
    connection.close()


def permissions(flow):
    """Each permission that is missing is named, and costs the channel only."""
    channel = flow.channel()
    queue, missing = flow.queue(channel, "queue"), flow.unique("missing")
    refused("no_configure", f"configure access to queue '{missing}' in vhost '/'",
            lambda c: c.queue_declare(missing))
    refused("no_configure", f"configure access to queue '{queue}' in vhost '/'",
            lambda c: c.queue_delete(queue))
    refused("no_write", "write access to exchange 'amq.default' in vhost '/'",
            lambda c: c.basic_publish("", queue, b"refused"))
    refused("no_write", f"write access to queue '{queue}' in vhost '/'",
            lambda c: c.queue_bind(queue, "amq.direct", "key"))
    refused("no_read", f"read access to queue '{queue}' in vhost '/'",
            lambda c: c.basic_get(queue))
    refused("no_read", "read access to exchange 'amq.direct' in vhost '/'",
            lambda c: c.queue_bind(queue, "amq.direct", "key"))
    topic = "topic 'other.key' in exchange topic 'amq.topic' in vhost '/'"
    refused("topical", f"write access to {topic}",
            lambda c: c.basic_publish("amq.topic", "other.key", b"refused"))
    refused("topical", f"read access to {topic}",
            lambda c: c.queue_bind(queue, "amq.topic", "other.key"))
    connection = log_in("topical")
    own = flow.channel(connection)
    own.queue_bind(queue, "amq.topic", "topical.#")
    own.basic_publish("amq.topic", "topical.key", b"allowed")
    equal(drain(own, queue), [("topical.key", b"allowed")], "what came through")
    connection.close()


def logins(_flow):
    """Wrong passwords, users that are not known, vhosts that are closed to them or not there."""
    refusal = ("(403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
               "For details see the broker logfile.'")
    cases = [
        (pika.exceptions.ProbableAuthenticationError, refusal, {"user": "no_read", "password": "x"}),
        (pika.exceptions.ProbableAuthenticationError, refusal, {"user": "unknown"}),
        (pika.exceptions.ProbableAuthenticationError, refusal,
         {"user": "guest", "password": "guest", "proxy": True}),
        (pika.exceptions.ProbableAccessDeniedError,
         "(530) \"NOT_ALLOWED - access to vhost '/' refused for user 'outsider'\"",
         {"user": "outsider"}),
        (pika.exceptions.ProbableAccessDeniedError,
         "(530) 'NOT_ALLOWED - vhost missing not found'",
         {"user": "guest", "password": "guest", "vhost": "missing"}),
    ]
    for expected, text, login in cases:
        try:
            log_in(**login).close()
        except expected as error:
            check(text in str(error), f"{login}: {error}")
        else:
            raise AssertionError(f"{login} was let in")
    log_in("topical", proxy=True).close()


FLOWS = [permissions, logins] if PASSWORD else []
