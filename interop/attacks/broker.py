"""Starts a broker of our own for a test, and looks at what it takes."""

import json
import os
import re
import signal
import subprocess
import tempfile


class Broker:
    """A broker on a free port with a data directory that goes with it."""

    def __init__(self, *flags, definitions=None):
        self.directory = tempfile.TemporaryDirectory(prefix="leveret-")
        self.log = open(os.path.join(self.directory.name, "log"), "wb")
        data = os.path.join(self.directory.name, "data")
        command = [os.environ["LEVERET_BIN"], "server", "--amqp-listen", "127.0.0.1:0",
                   "--data-dir", data, *flags]
        if definitions:
            path = os.path.join(self.directory.name, "definitions.json")
            with open(path, "w") as file:
                json.dump(definitions, file)
            command += ["--load-definitions", path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        found = re.search(r"amqp=[^ ]*:(\d+)", line)
        if not found:
            raise RuntimeError(f"the broker did not start: {self.tail()}")
        self.port, self.data = int(found.group(1)), data

    def tail(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def has_logged(self, text):
        with open(self.log.name, errors="replace") as log:
            return text in log.read()

    def memory(self):
        """Its own resident memory, in MiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
        return int(found.group(1)) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def disk(self):
        """What its data directory takes, in MiB."""
        total = 0
        for directory, _, files in os.walk(self.data):
            for name in files:
                try:
                    total += os.stat(os.path.join(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total / 1048576

    def runs(self):
        """Also asked by processes that are not the one which started it."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def stop(self):
        """Stops it in good order; whether it ended well."""
        if self.runs():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.close()
        self.directory.cleanup()
        return code == 0
