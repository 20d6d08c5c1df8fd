#!/usr/bin/env python3
"""Every verb of rabbitmqadmin 3 (the Python script of the distribution's package) on MANAGEMENT_URL."""

import concurrent.futures
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

PACKAGED = ("/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/rabbitmq_management-*"
            "/priv/www/cli/rabbitmqadmin")
SLOWEST_S = 20  # the longest that one verb takes


def script():
    """Where the script is, or None; the newer rabbitmqadmin of that name is no script."""
    for path in [shutil.which("rabbitmqadmin"), *sorted(glob.glob(PACKAGED))]:
        if path and b"python" in pathlib.Path(path).open("rb").readline():
            return path
    return None


class Failure(Exception):
    """A verb did not do what it should."""


def check(holds, what):
    if not holds:
        raise Failure(what)


class Admin:
    """The script, for a user, in a vhost of a flow's own."""

    def __init__(self, url, vhost, user="guest:guest"):
        address = urllib.parse.urlsplit(url)
        name, password = user.split(":")
        self.vhost = vhost
        self._command = [sys.executable, script(), "-H", address.hostname, "-P",
                         str(address.port), "-u", name, "-p", password]

    def run(self, *arguments, vhost=None, given=""):
        command = [*self._command, "-V", vhost or self.vhost, *arguments]
        return subprocess.run(command, text=True, capture_output=True, input=given,
                              timeout=SLOWEST_S, check=False)

    def __call__(self, *arguments, vhost=None, given=""):
        done = self.run(*arguments, vhost=vhost, given=given)
        check(done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout

    def rows(self, *arguments, vhost=None):
        """What a list is, as JSON; of one vhost where it is one of those that have it."""
        return json.loads(self("-f", "raw_json", *arguments, vhost=vhost))

    def refused(self, text, *arguments):
        done = self.run(*arguments)
        said = done.stdout + done.stderr
        check(done.returncode and text in said, f"{arguments}: expected {text!r}, got {said!r}")


def named(rows, name):
    return next((row for row in rows if row["name"] == name), None)


def objects(admin):
    """Vhosts, users, permissions, limits."""
    admin("declare", "user", "name=adm.user", "password=secret", "tags=management,policymaker")
    user = named(admin.rows("list", "users"), "adm.user")
    check(user["tags"] == ["management", "policymaker"], user)
    admin("declare", "permission", f"vhost={admin.vhost}", "user=adm.user", "configure=.*",
          "write=.*", "read=.*")
    granted = [one for one in admin.rows("list", "permissions") if one["user"] == "adm.user"]
    check([one["vhost"] for one in granted] == [admin.vhost], granted)
    admin("declare", "vhost_limit", f"vhost={admin.vhost}", "name=max-queues", "value=1")
    limits = [one for one in admin.rows("list", "vhost_limits") if one["vhost"] == admin.vhost]
    check(limits[0]["value"] == {"max-queues": 1}, limits)
    admin("declare", "queue", "name=first")
    admin.refused("queue limit in vhost", "declare", "queue", "name=second")
    admin("delete", "vhost_limit", f"vhost={admin.vhost}", "name=max-queues")
    admin("declare", "queue", "name=second")
    admin("delete", "permission", f"vhost={admin.vhost}", "user=adm.user")
    admin("delete", "user", "name=adm.user")
    check(not named(admin.rows("list", "users"), "adm.user"), "the user is still there")
    check(named(admin.rows("list", "vhosts"), admin.vhost), "the vhost is not listed")


def topology(admin):
    """Exchanges, queues, bindings, with arguments."""
    admin("declare", "exchange", "name=x", "type=topic", "durable=true")
    admin("declare", "queue", "name=q", "durable=true", 'arguments={"x-max-length": 9}')
    admin("declare", "queue", "name=quorum", "queue_type=quorum")
    admin("declare", "binding", "source=x", "destination=q", "routing_key=a.#")
    admin("declare", "binding", "source=x", "destination=q", "routing_key=b.#",
          'arguments={"k": "v"}')
    exchange = named(admin.rows("list", "exchanges"), "x")
    check(exchange["type"] == "topic" and exchange["durable"], exchange)
    queues = admin.rows("list", "queues")
    check(named(queues, "q")["arguments"] == {"x-max-length": 9}, queues)
    check(named(queues, "quorum")["type"] == "quorum", queues)
    bindings = [one for one in admin.rows("list", "bindings") if one["source"] == "x"]
    check(sorted(one["routing_key"] for one in bindings) == ["a.#", "b.#"], bindings)
    for binding in bindings:
        admin("delete", "binding", "source=x", "destination_type=queue", "destination=q",
              f"properties_key={binding['properties_key']}")
    admin.refused("inequivalent arg", "declare", "queue", "name=q", "durable=false")
    admin.refused("Not found", "delete", "queue", "name=nothing")
    for kind, name in (("queue", "q"), ("queue", "quorum"), ("exchange", "x")):
        admin("delete", kind, f"name={name}")


def rules(admin):
    """Policies, operator policies, parameters."""
    for kind, listed in (("policy", "policies"), ("operator_policy", "operator_policies")):
        admin("declare", kind, "name=p", "pattern=^q", 'definition={"max-length": 5}',
              "priority=3", "apply-to=queues")
        found = [one for one in admin.rows("list", listed) if one["vhost"] == admin.vhost]
        check(found[0]["definition"] == {"max-length": 5} and found[0]["priority"] == 3, found)
        admin("delete", kind, "name=p")
    admin("declare", "parameter", "component=federation-upstream", "name=u",
          'value={"uri": "amqp://elsewhere"}')
    found = [one for one in admin.rows("list", "parameters") if one["vhost"] == admin.vhost]
    check(found[0]["value"] == {"uri": "amqp://elsewhere"}, found)
    admin("delete", "parameter", "component=federation-upstream", "name=u")
    admin.refused("component nosuch not found", "declare", "parameter", "component=nosuch",
                  "name=u", "value=1")
    admin.refused("not recognised", "declare", "policy", "name=p", "pattern=q",
                  'definition={"nosuch": 1}')


def messages(admin):
    """Publishing, getting, purging."""
    admin("declare", "queue", "name=q")
    said = admin("publish", "routing_key=q", "payload=hello",
                 'properties={"delivery_mode": 2, "headers": {"k": [1, "two"]}}')
    check("Message published" in said, said)
    said = admin("publish", "routing_key=nowhere", "payload=lost")
    check("NOT routed" in said, said)
    admin("publish", "routing_key=q", "payload_encoding=base64", "payload=AAEC")
    admin("publish", "routing_key=q", given="from standard input")
    got = admin.rows("get", "queue=q", "count=3")
    check([one["payload"] for one in got] == ["hello", "\x00\x01\x02", "from standard input"], got)
    check(got[0]["properties"]["headers"] == {"k": [1, "two"]}, got)
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory) / "payload"
        admin("get", "queue=q", "ackmode=ack_requeue_false", f"payload_file={place}")
        check(place.read_text() == "hello", "the payload in the file")
    admin("purge", "queue", "name=q")
    check(admin.rows("get", "queue=q") == [], "the queue is not empty")


def definitions(admin):
    """Everything out to a file, and in again."""
    admin("declare", "queue", "name=kept", 'arguments={"x-max-length": 7}')
    admin("declare", "exchange", "name=kept", "type=headers")
    admin("declare", "binding", "source=kept", "destination=kept", 'arguments={"x-match": "any"}')
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "definitions.json"
        admin("export", str(file))
        admin("delete", "queue", "name=kept")
        admin("delete", "exchange", "name=kept")
        admin("import", str(file))
        bound = [one for one in admin.rows("list", "bindings") if one["source"] == "kept"]
        check([one["arguments"] for one in bound] == [{"x-match": "any"}], bound)
        definitions = json.loads(file.read_text())
        definitions["queues"] += [{"name": "good", "arguments": {}},
                                  {"name": "bad", "arguments": {"x-max-length": -1}}]
        file.write_text(json.dumps(definitions))
        admin.refused("invalid arg 'x-max-length'", "import", str(file))
        check(not named(admin.rows("list", "queues"), "good"), "a part of a bad file was taken")


def watching(admin):
    """What runs: overview, nodes, connections, channels, consumers; in each form of output."""
    overview = admin.rows("show", "overview")
    check(overview[0]["product_name"] == "Leveret", overview)
    check(admin.rows("list", "nodes")[0]["running"], "the node does not run")
    for kind in ("connections", "channels", "consumers"):
        check(isinstance(admin.rows("list", kind), list), kind)
    admin.refused("Not found", "close", "connection", "name=nobody")
    for form in ("table", "long", "kvp", "tsv", "bash", "pretty_json"):
        said = admin("-f", form, "list", "vhosts", "name", "messages")
        check(form == "bash" or "name" in said, f"{form}: {said}")
    columns = admin.rows("-S", "name", "-R", "list", "exchanges", "name")
    names = [one["name"] for one in columns]
    check(names == sorted(names, reverse=True) and set(columns[0]) == {"name"}, columns)


def play(url, flow):
    started, problem = time.monotonic(), None
    vhost = f"interop/http.{flow.__name__}"
    admin = Admin(url, vhost)
    try:
        admin("declare", "vhost", f"name={vhost}", vhost="/")
        try:
            flow(admin)
        finally:
            admin("delete", "vhost", f"name={vhost}", vhost="/")
    except (Failure, subprocess.TimeoutExpired) as error:
        problem = str(error)
    except Exception as error:  # any other fault of a flow is one too
        traceback.print_exc()
        problem = repr(error)
    took = round((time.monotonic() - started) * 1000)
    words = f"{'FAIL' if problem else 'ok'} {flow.__name__} {took} ms"
    print(f"{words}: {problem}" if problem else words, flush=True)
    return problem is None


def main():
    url = os.environ.get("MANAGEMENT_URL")
    flows = [objects, topology, rules, messages, definitions, watching]
    if not url or not script():
        reason = "rabbitmqadmin is not installed" if url else "MANAGEMENT_URL is not set"
        print(f"skip {', '.join(flow.__name__ for flow in flows)}: {reason}")
        return 0
    wanted = [flow for flow in flows if not sys.argv[1:] or flow.__name__ in sys.argv[1:]]
    # Most of a verb's time goes into starting the script.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        played = list(pool.map(lambda flow: play(url, flow), wanted))
    return 0 if all(played) else 1


if __name__ == "__main__":
    sys.exit(main())
