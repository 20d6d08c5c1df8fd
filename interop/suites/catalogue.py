"""The suites: where each comes from, how it is told the broker's address, and how it is read."""

import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import tarfile
import time
import xml.etree.ElementTree as ElementTree

import relay
import work
from patterns import as_expression
from work import HERE, WORK

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
PYTHON_CLIENTS = {"amqp": "5.4.2", "kombu": "5.7.0", "rabbitpy": "3.0.2", "amqpstorm": "3.1.4"}
RUST_CLIENTS = {"lapin": "4.12.3", "amqprs": "2.1.5"}


@dataclasses.dataclass
class Call:
    """One run of a suite."""

    host: str
    port: int
    left_out: list
    log: pathlib.Path
    deadline: float
    results: dict = dataclasses.field(default_factory=dict)

    def add(self, test, outcome, text=""):
        """Notes a test's outcome; of several for one test, as of its set-up and end, the worst."""
        worst = {SKIPPED: 0, PASSED: 1, FAILED: 2}
        before = self.results.get(test)
        if before is None or worst[outcome] > worst[before[0]]:
            self.results[test] = (outcome, text.strip())

    def seconds_left(self):
        """Until the suite's time is up."""
        return max(1, self.deadline - time.monotonic())

    @property
    def address(self):
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def uri(self):
        """Without a path: what it may be differs between clients."""
        return f"amqp://guest:guest@{self.address}"


class PythonSuite:
    """A source distribution with tests for pytest."""

    language = "Python"

    def __init__(self, name, package, tests, timeout, environment, *, plugins=(), change=None):
        self.name, self.package, self.tests, self.timeout = name, package, tests, timeout
        self.version = PYTHON_CLIENTS[package]
        self.environment, self.plugins, self.change = environment, plugins, change

    def prepare(self, log):
        """Downloads and unpacks."""
        self.python = work.virtual_environment(
            log, [f"{name}=={version}" for name, version in PYTHON_CLIENTS.items()])

        def download(folder):
            archives = folder / "archive"
            work.must(
                [self.python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                 ":all:", "--dest", archives, f"{self.package}=={self.version}"],
                cwd=folder, log=log)
            unpack(next(archives.glob("*.tar.gz")), folder / "source")

        source = work.once(WORK / "source" / f"{self.name}-{self.version}", download)
        self.source = next((source / "source").iterdir())

    def run(self, call):
        """Runs pytest in a copy."""
        folder = work.fresh_copy(self.source, self.name)
        if self.change:
            self.change(folder, call)
        lines = WORK / "run" / f"{self.name}.jsonl"
        lines.unlink(missing_ok=True)
        plugins = [f"-p{plugin}" for plugin in ("lines", *self.plugins)]
        code = work.run(
            [self.python, "-m", "pytest", "-q", "--timeout=60", "-pno:cacheprovider", "-Wignore",
             *plugins, *self.tests],
            cwd=folder, log=call.log, timeout=call.seconds_left(),
            env={"PYTHONPATH": f"{HERE}{os.pathsep}{folder}", "SUITES_RESULTS": str(lines),
                 "SUITES_LEFT_OUT": json.dumps(call.left_out), "PYTHONDONTWRITEBYTECODE": "1",
                 **self.environment(call)})
        if lines.exists():
            for line in lines.read_text("utf-8").splitlines():
                result = json.loads(line)
                call.add(result["test"], result["outcome"], result["text"])
        return code


class NodeSuite:
    """A package with tests for Node's own runner."""

    language = "JavaScript"
    name, version, timeout = "amqplib", "2.2.0", 180
    # Newer packages have no tests.

    def prepare(self, log):
        """Downloads and unpacks, with the one module that the tests need."""
        def download(folder):
            work.must(["npm", "pack", "--silent", f"amqplib@{self.version}"], cwd=folder, log=log)
            unpack(next(folder.glob("*.tgz")), folder)
            work.must(["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund",
                       "--ignore-scripts", "--prefix", folder, "claire@0.4.1"],
                      cwd=folder, log=log)

        self.source = work.once(WORK / "source" / f"{self.name}-{self.version}", download)

    def run(self, call):
        """Runs each file by itself: that gives the tests' names their files."""
        folder = work.fresh_copy(self.source, self.name) / "package"
        work.substitute(folder, ["test/*.test.js"], [
            (r"amqp://localhost(?=['\"?])", f"amqp://{call.address}"),
            (r"hostname: 'localhost' \}, \{\}",
             f"hostname: '{call.host}', port: {call.port} }}, {{}}"),
            (r"connect\(\{ heartbeat: 20 \}",
             f"connect({{ heartbeat: 20, hostname: '{call.host}', port: {call.port} }}"),
        ])
        # The tests of the callback API name no broker: they connect to the default.
        work.substitute(folder, ["lib/connect.js"], [
            (r"'amqp://localhost'", f"'amqp://{call.address}'"),
        ])
        codes = []
        for file in sorted((folder / "test").glob("*.test.js")):
            report = WORK / "run" / f"{self.name}-{file.name}.xml"
            with open(report, "wb") as output:
                codes.append(work.run(
                    ["node", "--test", "--test-timeout=10000", "--test-reporter=junit",
                     f"test/{file.name}"],
                    cwd=folder, log=call.log, timeout=min(120, call.seconds_left()),
                    env={"URL": call.uri}, stdout=output))
            self.read(call, file.name.removesuffix(".test.js"), report)
        return None if None in codes else max(codes)

    @staticmethod
    def read(call, file, report):
        """Reads the report; an incomplete one, of a run that was stopped, line by line."""
        text = report.read_text("utf-8", "replace")
        try:
            root = ElementTree.fromstring(text.split("<?xml", 1)[-1].partition("?>")[2])
        except ElementTree.ParseError as error:
            call.add(f"{file}: (report)", FAILED, f"unreadable: {error}")
            return
        seen = {}

        def walk(node, names):
            for child in node:
                name = [*names, child.get("name", "")]
                if child.tag == "testsuite":
                    walk(child, name)
                elif child.tag == "testcase":
                    test = f"{file}: {' > '.join(name)}"
                    seen[test] = seen.get(test, 0) + 1
                    if seen[test] > 1:
                        test += f" #{seen[test]}"
                    wrong = child.find("failure")
                    if wrong is None:
                        wrong = child.find("error")
                    if wrong is not None:
                        call.add(test, FAILED, wrong.get("message") or wrong.text or "")
                    else:
                        skipped = child.find("skipped") is not None
                        call.add(test, SKIPPED if skipped else PASSED)

        walk(root, [])


class GoSuite:
    """A module with tests; those of recovery run through the relay."""

    language = "Go"
    name, version, timeout = "amqp091-go", "v1.16.0", 420
    module = "github.com/rabbitmq/amqp091-go"
    recovery = "^TestConnectionRecovery"

    def prepare(self, log):
        """Has the module downloaded."""
        answer = WORK / "source" / f"{self.name}-{self.version}.json"
        answer.parent.mkdir(parents=True, exist_ok=True)
        with open(answer, "wb") as output:
            work.must(["go", "mod", "download", "-json", f"{self.module}@{self.version}"],
                      cwd=WORK, log=log, stdout=output)
        self.source = pathlib.Path(json.loads(answer.read_text())["Dir"])

    def run(self, call):
        """Runs all but recovery at the broker itself, then recovery."""
        folder = work.fresh_copy(self.source, self.name)
        # A subtest cannot be left out here: it runs, and is not counted.
        skip = "|".join(
            f"^{as_expression(name)}$" for name in call.left_out if "/" not in name)
        rest = f"{self.recovery}|{skip}" if skip else self.recovery
        codes = [self.go(call, folder, call.uri, ["-skip", rest])]
        with relay.Relay((call.host, call.port)) as between:
            work.substitute(folder, ["internal/utils/*.go", "recovery_test.go"], [
                (r"localhost:15672", f"127.0.0.1:{between.http_port}"),
                (r"\"15672\"", f'"{between.http_port}"'),
            ])
            uri = f"amqp://guest:guest@127.0.0.1:{between.port}"
            skipping = ["-skip", skip] if skip else []
            codes.append(self.go(call, folder, uri, ["-run", self.recovery, *skipping]))
        return None if None in codes else max(codes)

    def go(self, call, folder, uri, selection):
        """Runs `go test` and reads its events."""
        events = WORK / "run" / f"{self.name}.jsonl"
        seconds = int(call.seconds_left())
        with open(events, "wb") as output:
            code = work.run(
                ["go", "test", "-tags", "integration", "-json", "-count=1",
                 f"-timeout={seconds}s", *selection, "."],
                cwd=folder, log=call.log, timeout=seconds + 5,
                env={"AMQP_URL": f"{uri}/", "GOFLAGS": "-mod=mod"}, stdout=output)
        texts, ended, begun = {}, set(), set()
        for line in events.read_text("utf-8", "replace").splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            test, action = event.get("Test"), event.get("Action")
            if action == "output":
                texts[test] = texts.get(test, "") + event["Output"]
            if test is None:
                continue
            if action == "run":
                begun.add(test)
            outcome = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}.get(action)
            if outcome:
                ended.add(test)
                call.add(test, outcome, texts.get(test, "") if outcome == FAILED else "")
        with open(call.log, "a", encoding="utf-8") as log:
            log.write("".join(texts.values()))
        for test in begun - ended:
            call.add(test, FAILED, "did not end: " + texts.get(test, "")[-1000:])
        return code


class RustSuite:
    """A crate with tests; each test runs alone."""

    language = "Rust"

    def __init__(self, name, timeout, targets, *, change):
        self.name, self.timeout, self.targets, self.change = name, timeout, targets, change
        self.version = RUST_CLIENTS[name]

    def prepare(self, log):
        """Has cargo download the crate, and compiles its tests."""
        def download(folder):
            (folder / "src").mkdir()
            (folder / "src/lib.rs").touch()
            (folder / "Cargo.toml").write_text(
                '[package]\nname = "download"\nversion = "0.0.0"\nedition = "2021"\n'
                "[workspace]\n[dependencies]\n"
                + f'{self.name} = {{ version = "={self.version}", default-features = false }}\n')
            with open(folder / "metadata.json", "wb") as output:
                work.must(["cargo", "metadata", "--format-version=1"], cwd=folder, log=log,
                          stdout=output)
            packages = json.loads((folder / "metadata.json").read_text())["packages"]
            manifest = next(p["manifest_path"] for p in packages if p["name"] == self.name)
            shutil.copytree(pathlib.Path(manifest).parent, folder / "source")
            # It lies within our own workspace, and is not part of it.
            with open(folder / "source/Cargo.toml", "a", encoding="utf-8") as manifest:
                manifest.write("\n[workspace]\n")
            self.change(folder / "source")

        # Changed once and for all, so that cargo finds its earlier work.
        source = work.once(WORK / "source" / f"{self.name}-{self.version}", download)
        self.folder = source / "source"
        messages = WORK / "run" / f"{self.name}.jsonl"
        with open(messages, "wb") as output:
            work.must(["cargo", "test", "--no-run", "--message-format=json", *self.targets],
                      cwd=self.folder, log=log, timeout=1800, stdout=output,
                      env={"CARGO_TARGET_DIR": str(WORK / "cargo-target"),
                           "CARGO_INCREMENTAL": "0"})
        self.programs = {}
        for line in messages.read_text("utf-8").splitlines():
            message = json.loads(line)
            if message.get("executable") and message["profile"]["test"]:
                target = message["target"]
                name = "lib" if "lib" in target["kind"] else f"tests/{target['name']}"
                self.programs[name] = message["executable"]

    def run(self, call):
        """Runs each program of tests."""
        codes = []
        for name, program in sorted(self.programs.items()):
            prefix = f"{name}: "
            skip = [test.removeprefix(prefix) for test in call.left_out if test.startswith(prefix)]
            report = WORK / "run" / f"{self.name}.txt"
            with open(report, "wb") as output:
                codes.append(work.run(
                    [program, "--test-threads=1", "--exact",
                     *[part for test in skip for part in ("--skip", test)]],
                    cwd=self.folder, log=call.log, timeout=min(120, call.seconds_left()),
                    stdout=output, env={
                        "AMQP_ADDR": f"{call.uri}/%2f", "SUITES_ADDRESS": call.address,
                        "SUITES_HOST": call.host, "SUITES_PORT": str(call.port),
                        "RUST_BACKTRACE": "0"}))
            self.read(call, prefix, report.read_text("utf-8", "replace"), codes[-1])
        return None if None in codes else max(codes)

    @staticmethod
    def read(call, prefix, text, code):
        """Reads the lines `test NAME ... OUTCOME`; a test's own output may stand in between."""
        with open(call.log, "a", encoding="utf-8") as log:
            log.write(text)
        begins = list(re.finditer(r"^test (\S+)(?: - should panic)? \.\.\. ", text, re.MULTILINE))
        for begin, following in itertools.zip_longest(begins, begins[1:]):
            test, chunk = begin[1], text[begin.end():following.start() if following else None]
            chunk = re.split(r"^(?:successes|failures|test result):", chunk, 1, re.MULTILINE)[0]
            outcome = re.search(r"(?:(ok|FAILED)|^(ignored).*)$", chunk, re.MULTILINE)
            wrong = re.search(rf"^---- {re.escape(test)} stdout ----\n(.*?)(?=^----|^failures:)",
                              text, re.MULTILINE | re.DOTALL)
            outcomes = {"ok": PASSED, "ignored": SKIPPED, "FAILED": FAILED}
            if outcome:
                call.add(prefix + test, outcomes[outcome[1] or outcome[2]],
                         wrong[1] if wrong else "")
            else:
                call.add(prefix + test, FAILED, f"did not end (exit code {code})")


def unpack(archive, folder):
    """Unpacks a source archive."""
    with tarfile.open(archive) as files:
        if hasattr(tarfile, "data_filter"):
            files.extractall(folder, filter="data")
        else:
            files.extractall(folder)


def host_and_port(call):
    """For py-amqp and kombu."""
    return {"RABBITMQ_HOST": call.host, "RABBITMQ_5672_TCP": str(call.port)}


def amqpstorm_environment(call):
    """Every address, so that none of the suite's own defaults, a public host, is used."""
    nowhere = "127.0.0.1:1"
    return {
        "AMQP_HOST": call.host, "AMQP_USERNAME": "guest", "AMQP_PASSWORD": "guest",
        "AMQP_URI": f"{call.uri}/%2F", "AMQP_HTTP_URL": f"http://{nowhere}",
        "AMQP_SSL_HOST": "127.0.0.1", "AMQP_SSL_URI": f"amqps://guest:guest@{nowhere}/%2F",
    }


def amqpstorm_port(folder, call):
    """The functional tests rely on the default port, which the client has in one place."""
    work.substitute(folder, ["amqpstorm/connection.py"], [
        (r"port: int = 5672,", f"port: int = {call.port},")])


def lapin_unchanged(_folder):
    """lapin's tests take the address from the environment."""


def amqprs_address(folder):
    """amqprs has address and user in the code; TLS, off by default, needs much to compile."""
    def variable(name):
        return f'std::env::var("{name}").unwrap()'

    work.substitute(folder, ["src/**/*.rs", "tests/**/*.rs"], [
        (r'OpenConnectionArguments::new\("localhost", 5672, "user", "bitnami"\)',
         f'OpenConnectionArguments::new(&{variable("SUITES_HOST")}, '
         f'{variable("SUITES_PORT")}.parse().unwrap(), "guest", "guest")'),
        (r'"user", "bitnami"', '"guest", "guest"'),
        (r'with_user_id\("user"\)', 'with_user_id("guest")'),
        (r'SplitConnection::open\("localhost:5672"\)',
         f'SplitConnection::open(&{variable("SUITES_ADDRESS")})'),
    ])
    work.substitute(folder, ["Cargo.toml"], [
        (r"(?s)\[dev-dependencies\.rustls\].*?\n(?=\[)", "")])


SUITES = [
    PythonSuite("py-amqp", "amqp", ["t/integration"], 120, host_and_port),
    PythonSuite("kombu", "kombu", ["t/integration/test_py_amqp.py"], 240, host_and_port),
    PythonSuite("rabbitpy", "rabbitpy", ["tests/test_integration.py", "tests/integration"], 120,
                lambda call: {"RABBITMQ_URL": f"{call.uri}/%2F"}),
    PythonSuite("amqpstorm", "amqpstorm", [
        f"amqpstorm/tests/functional/test_{part}.py" for part in
        ("basic", "exchange", "generic", "legacy", "queue", "reliability", "tx", "web_based")
    ], 240, amqpstorm_environment, plugins=["amqpstorm_without_management"],
                change=amqpstorm_port),
    NodeSuite(),
    GoSuite(),
    RustSuite("lapin", 180, ["--tests"], change=lapin_unchanged),
    RustSuite("amqprs", 300, ["--lib", "--test", "*"], change=amqprs_address),
]
