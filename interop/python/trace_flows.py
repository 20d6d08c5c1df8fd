"""Flows with a collector: the spans of messages whose traces are recorded, and their headers."""

import contextlib
import http.server
import os
import threading
import time

import pika
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import Consumer, check, equal, eventually

PORT = os.environ.get("OTLP_PORT")
SENDER = bytes.fromhex("00f067aa0ba902b7")


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


class Spans:
    """A collector: what was sent to it, by trace."""

    def __init__(self):
        self.requests = requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """Takes requests as they come."""

            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append((self.path, self.headers["Content-Type"], body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, trace):
        """The spans of a trace; what does not parse raises."""
        found = []
        for path, kind, body in list(self.requests):
            equal((path, kind), ("/v1/traces", "application/x-protobuf"), "the request")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {pair.key: value(pair.value) for pair in resource.resource.attributes}
                equal(names["service.name"], "leveret", "the service")
                spans = [span for scope in resource.scope_spans for span in scope.spans]
                found += [span for span in spans if span.trace_id == trace]
        return found

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def said(span):
    return {pair.key: value(pair.value) for pair in span.attributes}


def properties(trace):
    parent = f"00-{trace.hex()}-{SENDER.hex()}-01"
    headers = {"traceparent": parent, "tracestate": "hare=1", "other": "stays"}
    return pika.BasicProperties(headers=headers, message_id="m-1", correlation_id="c-1")


def trace_of_a_message(flow):
    """From the publish to the acknowledgement of the dead letter: one tree below the sender."""
    trace = os.urandom(16)
    with contextlib.closing(Spans()) as spans:
        channel = flow.channel()
        dead = flow.queue(channel, "dead")
        queue = flow.queue(channel, "\u05d0 q", arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        exchange = flow.exchange(channel, "x", "topic")
        channel.queue_bind(queue, exchange, "#")
        channel.basic_publish(exchange, "a.key", b"body", properties(trace))
        method, got, _ = Consumer(channel, queue).wait(1)[0]
        equal(got.headers, properties(trace).headers, "the headers, unchanged")
        channel.basic_reject(method.delivery_tag, requeue=False)
        letters = Consumer(channel, dead)
        _, letter, _ = letters.wait(1)[0]
        letters.ack(0)
        eventually(lambda: len(spans.of(trace)) >= 7, "the spans did not come")
        time.sleep(0.1)
        found = spans.of(trace)
        by_name = {span.name: span for span in found}
        equal(set(by_name), {f"publish {exchange}", f"route {exchange}", f"deliver {queue}",
                             f"reject {queue}", f"dead_letter {queue}", f"deliver {dead}",
                             f"ack {dead}"}, "the names of the spans")
        equal(len({span.span_id for span in found}), 7, "how many there are")
        for name, parent in (
                (f"publish {exchange}", SENDER),
                (f"route {exchange}", by_name[f"publish {exchange}"].span_id),
                (f"deliver {queue}", SENDER),
                (f"reject {queue}", by_name[f"deliver {queue}"].span_id),
                (f"dead_letter {queue}", SENDER),
                (f"deliver {dead}", by_name[f"dead_letter {queue}"].span_id),
                (f"ack {dead}", by_name[f"deliver {dead}"].span_id)):
            equal(by_name[name].parent_span_id, parent, f"the parent of {name}")
        for span in found:
            equal(span.trace_state, "hare=1", f"the state of {span.name}")
            check(0 < span.start_time_unix_nano <= span.end_time_unix_nano, f"{span.name}'s times")
            check(abs(time.time_ns() - span.end_time_unix_nano) < 60e9, "the time of day")
            equal(said(span)["messaging.system"], "rabbitmq", "the system")
        publish, deliver = by_name[f"publish {exchange}"], by_name[f"deliver {queue}"]
        equal((publish.kind, deliver.kind), (2, 4), "server and producer")
        expected = {"messaging.operation.name": "publish", "messaging.operation.type": "send",
                    "messaging.destination.name": f"{exchange}:a.key",
                    "messaging.rabbitmq.destination.routing_key": "a.key",
                    "messaging.message.id": "m-1", "messaging.message.conversation_id": "c-1",
                    "messaging.message.body.size": 4, "network.peer.address": "127.0.0.1",
                    "leveret.vhost": "/"}
        equal({key: said(publish).get(key) for key in expected}, expected, "the publish")
        expected = {"messaging.destination.name": f"{exchange}:a.key:{queue}",
                    "messaging.rabbitmq.message.delivery_tag": 1, "leveret.queue": queue,
                    "leveret.redelivered": False}
        equal({key: said(deliver).get(key) for key in expected}, expected, "the delivery")
        equal(said(by_name[f"dead_letter {queue}"])["leveret.dead_letter.reason"], "rejected",
              "the reason")
        sender = by_name[f"dead_letter {queue}"].span_id.hex()
        equal(letter.headers["traceparent"], f"00-{trace.hex()}-{sender}-01", "the letter's sender")
        equal((letter.headers["tracestate"], letter.headers["other"]), ("hare=1", "stays"),
              "the letter's other headers")


def trace_of_refusals_and_gets(flow):
    """A refused publish says why; a get is as good as a delivery; who is not sampled has no span."""
    trace, silent = os.urandom(16), os.urandom(16)
    with contextlib.closing(Spans()) as spans:
        channel = flow.channel()
        queue = flow.queue(channel, "q")
        quiet = pika.BasicProperties(headers={
            "traceparent": f"00-{silent.hex()}-{SENDER.hex()}-00"})
        channel.basic_publish("", queue, b"quiet", quiet)
        channel.basic_publish("", queue, b"got", properties(trace))
        for _ in range(2):
            method, _, _ = channel.basic_get(queue)
            channel.basic_ack(method.delivery_tag)
        refused = flow.connect().channel()
        refused.basic_publish(flow.unique("missing"), "k", b"", properties(trace))
        eventually(lambda: len(spans.of(trace)) >= 6, "the spans did not come")
        names = [span.name for span in spans.of(trace)]
        missing = flow.unique("missing")
        equal(sorted(names), sorted([f"publish {queue}", f"route {queue}", f"get {queue}",
                                     f"ack {queue}", f"publish {missing}", f"route {missing}"]),
              "the names of the spans")
        failed = [span for span in spans.of(trace) if span.status.code == 2]
        equal([said(span)["error.type"] for span in failed], ["NOT_FOUND"] * 2, "what went wrong")
        equal(spans.of(silent), [], "spans of what is not sampled")


FLOWS = [trace_of_a_message, trace_of_refusals_and_gets] if PORT else []
