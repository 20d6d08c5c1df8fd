"""What the scripts of the benchmark share: brokers as processes, the loads that they are given, and
what a process uses.

A broker runs alone, with default settings, fresh data and free ports; what it uses is read from
/proc. Linux only.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Debian's package has its server script here; the one in PATH wants to be another user.
RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
KIB, MIB = 1 << 10, 1 << 20
START_SECONDS = 60
STOP_SECONDS = 30
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """Something that ends the comparison, in words."""


def free_port():
    """A free port below those of outgoing connections, which could take it before the broker does,
    or meet themselves while they try to reach one that is not there yet."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def cpu_seconds(pid):
    """User and system time of a process and of its living descendants."""
    total, found = 0.0, [pid]
    while found:
        current = found.pop()
        try:
            stat = pathlib.Path(f"/proc/{current}/stat").read_text()
            tasks = list(pathlib.Path(f"/proc/{current}/task").iterdir())
        except OSError:
            continue
        user, system = stat.rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / TICKS_PER_SECOND
        for task in tasks:
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                pass
    return total


def memory(pid):
    """Resident memory of a process, and the part of it that is no file, in bytes."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(value.split()[0]) * KIB
    return found


def memory_mib(pid):
    return memory(pid)["VmRSS"] / MIB


class Broker:
    """A broker process in a directory of its own."""

    name = "?"

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.log = self.directory / "output.txt"
        self.process = None
        self.address = None

    def command(self):
        raise NotImplementedError

    def find_address(self):
        """Where it listens, once it does; None before."""
        raise NotImplementedError

    def pid(self):
        return self.process.pid

    def start(self):
        command, environment = self.command()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.address = self.find_address()
            if self.address:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise Failure(f"{self.name} did not start:\n{self.output()}")

    def output(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        try:
            os.kill(self.pid(), signal.SIGTERM)
        except ProcessLookupError:
            pass
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(self.pid(), signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def kill(self):
        """As `kill -9` does; the data stays for the next start."""
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


class Leveret(Broker):
    name = "Leveret"

    def __init__(self, directory, binary, settings=()):
        super().__init__(directory)
        self.binary = binary
        self.settings = settings
        self.port = 0

    def command(self):
        command = [self.binary, "server", "--data-dir", str(self.directory / "data")]
        command += ["--amqp-listen", f"127.0.0.1:{self.port}"]
        command += ["--management-tcp-port", "none", "--prometheus-tcp-port", "none"]
        for setting in self.settings:
            command += ["--set", setting]
        return command, {}

    def find_address(self):
        text = self.log.read_text(errors="replace")
        found = re.search(r"^ready\b.*?\bamqp=(\S+:\d+)", text, re.MULTILINE)
        return found and found.group(1).rstrip(",")


class RabbitMQ(Broker):
    name = "RabbitMQ"

    def __init__(self, directory, server):
        super().__init__(directory)
        self.server = server
        self.port = free_port()

    def command(self):
        environment = {
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"compare-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
        }
        return [self.server], environment

    def pid(self):
        try:
            return int((self.directory / "pid").read_text())
        except (OSError, ValueError):
            return self.process.pid

    def find_address(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return None
        return f"127.0.0.1:{self.port}"


class Limit(Broker):
    """Moves bytes and does nothing else."""

    name = "limit"

    def __init__(self, directory, binary):
        super().__init__(directory)
        self.binary = binary

    def command(self):
        return [self.binary], {}

    find_address = Leveret.find_address


class Nats(Broker):
    """NATS core, as a reference: it stores nothing, and there are no acks and no confirms."""

    name = "NATS"

    def __init__(self, directory, server):
        super().__init__(directory)
        self.server = server

    def command(self):
        return [self.server, "--addr", "127.0.0.1", "--port", "-1"], {}

    def find_address(self):
        text = self.log.read_text(errors="replace")
        found = re.search(r"Listening for client connections on (\S+:\d+)", text)
        return found and found.group(1)


@contextlib.contextmanager
def fresh(make, options):
    """A broker of its own, not started, in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
        broker = make(directory)
        try:
            yield broker
        finally:
            broker.stop()


def uri_of(broker):
    return f"amqp://guest:guest@{broker.address}"


# ---- loads


def timed_load(broker, command, what):
    """Runs a load; the last line that it told, with the broker's CPU seconds as `broker_cpu`."""
    before = cpu_seconds(broker.pid())
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = cpu_seconds(broker.pid()) - before
    if done.returncode != 0:
        error = done.stderr.partition("\n\n")[0].strip()
        raise Failure(f"{what} on {broker.name}: {error}\n{broker.output()}")
    # One object, or one a line.
    last = done.stdout if done.stdout.count("\n{") == 0 else done.stdout.splitlines()[-1]
    return {**json.loads(last), "broker_cpu": used}


def perf(broker, options, arguments, seconds, warmup):
    """Runs `leveret perf`; its figures with the broker's CPU and memory added."""
    command = [options.perf, "perf", "--json", "--quiet", "--uri", uri_of(broker), *arguments,
               "--time", str(seconds), "--warmup", str(warmup)]
    return with_costs(broker, timed_load(broker, command, " ".join(arguments)))


def nats_perf(broker, options, arguments, seconds, warmup):
    """The same through NATS' protocol."""
    command = [options.loads, "nats", "--address", broker.address, *arguments,
               "--time", str(seconds), "--warmup", str(warmup)]
    return with_costs(broker, timed_load(broker, command, " ".join(arguments)))


def with_costs(broker, figures):
    messages = figures["received_in_all"] or figures["sent_in_all"]
    used = figures.pop("broker_cpu")
    figures["broker_cpu_seconds"] = used
    figures["broker_cpu_us_per_message"] = used * 1e6 / messages if messages else None
    figures["broker_memory_mib"] = memory_mib(broker.pid())
    return figures


def load(broker, options, *arguments):
    """Runs a load of crates/client/examples/loads; see `timed_load`."""
    name, *rest = map(str, arguments)
    command = [options.loads, name, "--uri", uri_of(broker), *rest]
    return timed_load(broker, command, name)


def load_lines(broker, options, *arguments):
    """Runs such a load; its lines as they come."""
    name, *rest = map(str, arguments)
    command = [options.loads, name, "--uri", uri_of(broker), *rest]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            yield json.loads(line)
        error = process.stderr.read()
    if process.returncode != 0:
        error = error.partition("\n\n")[0].strip()
        raise Failure(f"{name} on {broker.name}: {error}\n{broker.output()}")


def example(name):
    """An example program of crates/client, built."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "-p", "leveret-client",
         "--example", name],
        cwd=ROOT, check=True,
    )
    return str(target / "release" / "examples" / name)


# ---- what is asked for


def nats_server():
    """Where NATS' server is, if it is installed; Debian's is not in everyone's PATH."""
    return shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def add_options(parser):
    """The options that all scripts have."""
    add = parser.add_argument
    add("--leveret", default=str(ROOT / "target" / "release" / "leveret"))
    add("--rabbitmq", help="its server script; Debian's if not given")
    add("--only", choices=("leveret", "rabbitmq"), help="run one broker only")
    add("--perf", help="load generator; the binary of --leveret if not given")
    add("--loads", help="the other loads; built from crates/client/examples/loads if not given")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=10.0, help="of each run, with warm-up")
    add("--warmup", type=float, default=2.0)
    add("--directory", help="where brokers keep their data, on the disk to measure; a temporary "
                            "one if not given")
    add("--json", help="file for every single figure")


def brokers_of(options, settings=()):
    """How to make each broker, in the order of their turns; `settings` are Leveret's."""
    makers = {}
    if options.only != "rabbitmq":
        makers[Leveret.name] = lambda directory: Leveret(directory, options.leveret, settings)
    if options.only != "leveret":
        packaged = RABBITMQ_SERVER if os.path.exists(RABBITMQ_SERVER) else None
        server = options.rabbitmq or packaged or shutil.which("rabbitmq-server")
        if not server:
            raise Failure("there is no rabbitmq-server; give --rabbitmq or --only leveret")
        makers[RabbitMQ.name] = lambda directory: RabbitMQ(directory, server)
    return makers
