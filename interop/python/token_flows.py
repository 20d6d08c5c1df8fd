"""Flows with a bearer token as the password: what it allows, its end, and its renewal."""

import base64
import json
import os
import pathlib
import subprocess
import time

import pika

from harness import URI, WAIT_S, check, drain, equal, eventually

KEY = os.environ.get("TOKEN_KEY")
ALL = "leveret.configure:*/* leveret.write:*/* leveret.read:*/*"


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def token(lifetime_s, scopes=ALL, user="hare"):
    header = {"alg": "RS256", "typ": "JWT", "kid": "interop"}
    claims = {"sub": user, "aud": "leveret", "scope": scopes, "exp": int(time.time()) + lifetime_s}
    message = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", pathlib.Path(KEY)],
                               input=message, stdout=subprocess.PIPE, check=True).stdout
    return (message + b"." + encoded(signature)).decode()


def connect(secret):
    parameters = pika.URLParameters(URI)
    parameters.socket_timeout = parameters.stack_timeout = WAIT_S
    parameters.credentials = pika.PlainCredentials("", secret)
    return pika.BlockingConnection(parameters)


def refusal(secret):
    try:
        connect(secret).close()
    except pika.exceptions.AMQPError as error:
        return error
    return None


def token_login(flow):
    """A good token opens a connection, one that has expired or is somebody else's does not."""
    channel = connect(token(60)).channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"by token")
    equal([body for _, body in drain(channel, queue)], [b"by token"], "what came back")
    channel.connection.close()
    good = token(60)
    head, claims, signature = good.split(".")
    for bad in (token(-1), f"{head}.{claims}.{signature[:-8]}AAAAAAAA"):
        check(isinstance(refusal(bad), pika.exceptions.ProbableAuthenticationError),
              "a bad token was not refused")


def token_scopes(flow):
    """What no scope allows closes the channel with 403."""
    channel = connect(token(60, "leveret.configure:*/mine.*")).channel()
    channel.queue_declare("mine.interop", exclusive=True)
    try:
        channel.queue_declare("yours.interop", exclusive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        equal(error.reply_code, 403, "the reply code")
        check("refused for user 'hare'" in error.reply_text, error.reply_text)
    else:
        check(False, "the queue was declared")
    channel.connection.close()


def token_expiry(flow):
    """A token that ends closes its connection; one that was renewed in time lives on."""
    ends, renewed = connect(token(2)), connect(token(2))
    renewed.update_secret(token(60), "about to expire")
    try:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            ends.process_data_events(0.1)
        check(False, "the connection was not closed")
    except pika.exceptions.ConnectionClosedByBroker as error:
        equal((error.reply_code, error.reply_text),
              (320, "CONNECTION_FORCED - credential expired"), "the close")
    renewed.process_data_events(0.5)
    renewed.channel().queue_declare("", exclusive=True)
    try:
        renewed.update_secret(token(60, user="fox"), "another user")
        eventually(lambda: renewed.process_data_events(0.1) or renewed.is_closed,
                   "the other user's token was taken")
    except pika.exceptions.ConnectionClosedByBroker as error:
        equal(error.reply_code, 530, "the reply code")


FLOWS = [token_login, token_scopes, token_expiry] if KEY else []
