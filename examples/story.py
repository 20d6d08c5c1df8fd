"""What the tests of the stories share: services as processes, waits that end, and one line as result."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import pika

URI = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
WAIT_S = 30  # the longest any single wait takes


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def eventually(condition, message):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        check(time.monotonic() < deadline, f"waited {WAIT_S} s: {message}")
        time.sleep(0.01)


class Service:
    """A program that is started, killed and started again; its output is kept across its lives."""

    def __init__(self, directory, name, *command, **environment):
        self.name = name
        self._command = [str(part) for part in command]
        self._environment = {**os.environ, "AMQP_URL": URI, **environment}
        self._log = pathlib.Path(directory) / f"{name}.log"
        self._process = None

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log,
                                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def lines(self):
        """The complete lines so far."""
        text = self._log.read_text() if self._log.exists() else ""
        return text[:text.rfind("\n") + 1].splitlines()

    def freeze(self):
        """Makes it stand still, so that what is delivered to it stays unacknowledged."""
        self._expect_running()
        self._process.send_signal(signal.SIGSTOP)

    def kill(self):
        """Kills it, frozen or not, with no chance to tidy up; it must not have ended by itself."""
        self._expect_running()
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Asks it to end, as a service manager would, and checks that it does so properly."""
        self._expect_running()
        self._process.terminate()
        self.finish()

    def finish(self):
        try:
            code = self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end") from None
        equal(code, 0, f"exit code of {self.name}, which said {self.lines()[-3:]}")

    def _expect_running(self):
        check(self._process.poll() is None, f"{self.name} ended early: {self.lines()[-3:]}")

    def close(self):
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Story:
    """A directory, services, and a channel to look at the broker; all gone at the end."""

    def __init__(self, directory, queues, exchanges):
        self.directory = pathlib.Path(directory)
        self._queues, self._exchanges, self._services = queues, exchanges, []
        self.forget()

    def service(self, name, *command, **environment):
        service = Service(self.directory, name, *command, **environment)
        self._services.append(service)
        return service

    def with_channel(self, action):
        connection = pika.BlockingConnection(pika.URLParameters(URI))
        try:
            return action(connection.channel())
        finally:
            connection.close()

    def queue(self, name):
        """(messages ready, consumers) of a queue, or None where there is no such queue."""
        try:
            method = self.with_channel(lambda ch: ch.queue_declare(name, passive=True)).method
        except pika.exceptions.ChannelClosedByBroker as error:
            equal(error.reply_code, 404, "reply code for a missing queue")
            return None
        return method.message_count, method.consumer_count

    def forget(self):
        def delete(channel):
            for queue in self._queues:
                channel.queue_delete(queue)
            for exchange in self._exchanges:
                channel.exchange_delete(exchange)
        self.with_channel(delete)

    def close(self):
        for service in self._services:
            service.close()
        self.forget()


def run(name, prepare, play, queues, exchanges):
    """Prints `ok NAME N ms` or `FAIL NAME N ms reason`. The queues and exchanges are deleted before
    and after: do not run this beside the same story on the same broker."""
    with tempfile.TemporaryDirectory(prefix="leveret-story-") as directory:
        story, problem, started = None, None, time.monotonic()
        try:
            prepare(pathlib.Path(directory))
            started = time.monotonic()
            story = Story(directory, queues, exchanges)
            play(story)
        except Exception as error:  # pylint: disable=broad-except
            problem = f"{type(error).__name__}: {error}"
        try:
            if story:
                story.close()
        except Exception as error:  # pylint: disable=broad-except
            problem = problem or f"tidying up: {type(error).__name__}: {error}"
    took_ms = round((time.monotonic() - started) * 1000)
    print(f"FAIL {name} {took_ms} ms {problem}" if problem else f"ok {name} {took_ms} ms")
    sys.exit(1 if problem else 0)
