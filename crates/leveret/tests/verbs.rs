//! The verbs for a running broker, as a user meets them: on brokers of our own, and on servers that
//! refuse or are none.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

/// What a run of the binary came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// What it printed, if it did what it was asked.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Why it did not.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.well()).unwrap()
    }
}

/// Runs the binary with an environment that holds nothing of ours but the address.
fn run(url: &str, arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LEVERET_")) {
        command.env_remove(name);
    }
    command.env("LEVERET_URL", url).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who does not read its input may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// A broker with free ports.
struct Broker {
    child: Child,
    url: String,
    amqp: String,
}

impl Broker {
    fn start() -> Self {
        static BROKERS: AtomicUsize = AtomicUsize::new(0);
        let number = BROKERS.fetch_add(1, Ordering::Relaxed);
        let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("verbs-{number}"));
        let _ = std::fs::remove_dir_all(&data);
        let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LEVERET_")) {
            command.env_remove(name);
        }
        command.args(["server", "--amqp-listen", "127.0.0.1:0", "--management-tcp-port", "0"]);
        command.arg("--data-dir").arg(data).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let word = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {line:?}")).to_owned()
        };
        let (url, amqp) = (format!("http://{}", word("management=")), word("amqp="));
        Self { child, url, amqp }
    }

    fn run(&self, line: &str) -> Ran {
        run(&self.url, &line.split(' ').collect::<Vec<_>>(), "")
    }

    fn count(&self, queue: &str) -> Value {
        self.run(&format!("queues show {queue} --json")).json()["messages"].clone()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that gives every request the same answer.
fn answers(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn who_cannot_be_asked_is_named_with_a_way_out() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = run(&format!("http://{free}"), &["queues", "list"], "").failed(1);
    assert!(text.contains(&format!("nothing listens at http://{free}")), "{text}");
    assert!(text.contains("leveret server") && text.contains("--url"), "{text}");
    let text = run("localhost", &["overview"], "").failed(1);
    assert!(text.contains("`localhost` is no address such as http://HOST:PORT"), "{text}");
    let page = answers("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\n<html>");
    let text = run(&page, &["overview"], "").failed(1);
    assert!(text.contains("is no management API; choose another with --url"), "{text}");
    let busy = answers("HTTP/1.1 500 Oops\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert!(run(&busy, &["overview"], "").failed(1).contains("answered with status 500"));
}

#[test]
fn what_is_not_understood_ends_with_2() {
    for line in ["queues", "queues lst", "policies set p x {", "limits set-vhost a=b", "get q -n x"]
    {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(!run("http://127.0.0.1:1", &words, "").failed(2).is_empty(), "{line}");
    }
    let text = run("http://127.0.0.1:1", &["--user", "bob", "overview"], "").failed(1);
    assert!(text.contains("no password for `bob`: set LEVERET_PASSWORD"), "{text}");
}

#[test]
fn queues_and_messages_by_hand() {
    let broker = Broker::start();
    broker.run("queues declare q -a x-max-length=10").well();
    let text = broker.run("queues declare q").failed(1);
    assert!(text.contains("inequivalent arg 'x-max-length'"), "{text}");
    broker.run("exchanges declare e topic").well();
    broker.run("bindings declare e q a.# -a k=1").well();
    let list = broker.run("list_bindings source routing_key arguments --match a.#").well();
    assert_eq!(list, "source  routing_key  arguments\ne       a.#          k=1\n");
    broker.run("publish a.b one -e e -H n=1 -P message_id=m").well();
    let payload = "two\nlines \u{1b}[31m";
    run(&broker.url, &["publish", "q"], payload).well();
    assert!(broker.run("publish nowhere x").failed(1).contains("no queue took the message"));
    let got = broker.run("get q -n 9 --json").json();
    assert_eq!(got[0]["properties"]["headers"], json!({"n": 1}));
    assert_eq!((&got[0]["routing_key"], &got[1]["payload"]), (&json!("a.b"), &json!(payload)));
    let text = broker.run("get q -n 9").well();
    assert!(text.contains("two\\nlines \\u{1b}[31m"), "{text}");
    let text = broker.run("consume q -n 1 --raw").well();
    assert_eq!(text, "one");
    assert_eq!(broker.run("get q --then ack --raw").well(), payload);
    assert!(broker.run("get q --raw").failed(1).contains("no message that is ready"));
    assert_eq!(broker.count("q"), 0);
    broker.run("bindings delete e q a.# -a k=1").well();
    broker.run("queues delete q --if-empty --if-unused").well();
    assert!(broker.run("queues purge q").failed(1).contains("there is no queue `q` in vhost `/`"));
}

#[test]
fn names_may_be_anything() {
    let broker = Broker::start();
    let name = "a/b%2F c?d#e\u{202e}\u{1b}[2J";
    let go = |arguments: &[&str]| run(&broker.url, arguments, "");
    go(&["vhosts", "add", name]).well();
    go(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).well();
    go(&["-p", name, "queues", "declare", name]).well();
    go(&["publish", "-p", name, name, "x"]).well();
    let shown = go(&["queues", "list", "name", "vhost"]).well();
    assert!(shown.contains("a/b%2F c?d#e\\u{202e}\\u{1b}[2J"), "{shown}");
    assert_eq!(go(&["queues", "list", "name", "--json"]).json()[0]["name"], name);
    assert_eq!(go(&["consume", "-p", name, name, "-n", "1", "--raw"]).well(), "x");
    go(&["vhosts", "delete", name]).well();
}

#[test]
fn passwords_come_from_standard_input() {
    let broker = Broker::start();
    let go = |arguments: &[&str], input: &str| run(&broker.url, arguments, input);
    let text = go(&["users", "add", "bob", "--tags", "monitoring"], "first\n").well();
    assert!(!text.contains("first"));
    let bob = ["--user", "bob", "--password-stdin", "whoami", "--json"];
    assert_eq!(go(&bob, "first\n").json()["tags"], json!(["monitoring"]));
    let text = go(&["--user", "bob", "--password-stdin", "users", "list"], "first\n").failed(1);
    assert!(text.contains("leveret users set-tags bob administrator"), "{text}");
    // The first line is for the login, the second is the new password.
    let change = ["users", "change-password", "bob", "--password-stdin"];
    go(&change, "guest\nsecond\n").well();
    go(&["users", "set-tags", "bob", "management", "policymaker"], "").well();
    assert_eq!(go(&bob, "second\n").json()["tags"], json!(["management", "policymaker"]));
    go(&["authenticate_user", "bob", "second"], "").well();
    let text = go(&bob, "first\n").failed(1);
    assert!(text.contains("does not let `bob` in"), "{text}");
    assert!(go(&["users", "add", "bob"], "x\n").failed(1).contains("a user `bob` already"));
}

#[test]
fn what_is_set_is_listed_and_can_be_cleared() {
    let broker = Broker::start();
    for (set, list, column, clear) in [
        ("set_policy p ^q {\"max-length\":5}", "policies list", "definition", "policies clear p"),
        (
            "operator-policies set p ^q {\"expires\":5000}",
            "operator-policies list",
            "definition",
            "clear_operator_policy p",
        ),
        ("limits set-vhost max-queues=9", "limits list-vhosts", "value", "limits clear-vhost"),
        (
            "set_user_limits guest {\"max-channels\":7}",
            "limits list-users",
            "value",
            "limits clear-user guest all",
        ),
        (
            "topic-permissions set guest amq.topic ^a ^b",
            "topic-permissions list",
            "write",
            "topic-permissions clear guest amq.topic",
        ),
    ] {
        broker.run(set).well();
        let listed = broker.run(&format!("{list} {column} --json")).json();
        assert!(!listed[0][column].is_null(), "{set}: {listed}");
        broker.run(clear).well();
        let listed = broker.run(&format!("{list} --json")).json();
        let none = |row: &Value| row["value"] == json!({});
        assert!(listed.as_array().unwrap().iter().all(none), "{clear}: {listed}");
    }
    assert!(broker.run("policies clear p").failed(1).contains("there is no policy `p`"));
}

#[test]
fn the_state_of_the_broker_is_shown() {
    let broker = Broker::start();
    let status = broker.run("status").well();
    assert!(status.contains("Leveret") && status.contains("alarms"), "{status}");
    for verb in [
        "overview",
        "nodes list",
        "connections list all",
        "channels list all",
        "consumers list all",
        "vhosts list all",
        "exchanges list all",
        "feature-flags list",
        "whoami",
        "health",
        "logs -n 3",
        "parameters list",
        "global-parameters list",
        "permissions list --of-user guest",
    ] {
        assert!(!broker.run(verb).well().is_empty(), "{verb}");
    }
    let text = broker.run("health alarms --port 1").failed(1);
    assert!(text.contains("not well: port 1"), "{text}");
    let error = broker.run("queues list nam").code;
    // Nothing can be said of a column if there are no rows.
    assert_eq!(error, 0);
    broker.run("queues declare q").well();
    assert!(broker.run("queues list nam").failed(1).contains("there is no column `nam`"));
}

#[test]
fn dead_letters_are_looked_through_and_redriven() {
    let broker = Broker::start();
    broker.run("queues declare dead").well();
    let line = "queues declare work -a x-dead-letter-exchange= -a x-dead-letter-routing-key=dead";
    broker.run(line).well();
    for n in 0..6 {
        broker.run(&format!("publish work p{n} -H n={n}")).well();
    }
    broker.run("get work -n 6 --then reject").well();
    let found = broker.run("messages browse dead --where headers.n=3 --json").json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["payload"]), (1, &json!("p3")));
    let position = found[0]["position"].to_string();
    let text = broker.run("messages redrive dead --all --dry-run").well();
    assert_eq!(text, "6 messages would be touched; nothing was done\n");
    let text = broker.run(&format!("messages redrive dead --position {position}")).well();
    assert_eq!(text, "messages moved: 1, deleted: 0, refused: 0\n");
    assert_eq!((broker.count("work"), broker.count("dead")), (json!(1), json!(5)));
    broker.run("messages move dead --where headers.n=0 --to-queue work").well();
    let sum = broker.run("messages delete dead --all --limit 2 --rate 50 --json").json();
    assert_eq!(sum, json!({"matched": 2, "moved": 0, "deleted": 2, "refused": 0}));
    assert_eq!((broker.count("work"), broker.count("dead")), (json!(2), json!(2)));
    assert_eq!(broker.run("messages browse dead --raw -n 1").well(), "p4");
}

#[test]
fn scheduled_messages_are_listed_and_cancelled() {
    let broker = Broker::start();
    broker.run("exchanges declare later x-delayed-message -a x-delayed-type=direct").well();
    broker.run("queues declare q").well();
    broker.run("bindings declare later q k").well();
    broker.run("publish k x -e later -H x-delay=600000 -P message_id=m1").well();
    assert_eq!(broker.run("scheduled list later --json").json()[0]["payload"], "x");
    broker.run("scheduled cancel later m1").well();
    assert!(broker.run("scheduled cancel later m1").failed(1).contains("no such message waits"));
    assert_eq!(broker.run("scheduled list later --json").json(), json!([]));
}

/// What the broker that is taken over holds.
fn fill(source: &Broker) {
    source.run("vhosts add v").well();
    source.run("permissions set guest .* .* .* -p v").well();
    source.run("users add carol secret --tags monitoring").well();
    source.run("exchanges declare x topic").well();
    source.run("queues declare q -a x-max-priority=3").well();
    source.run("queues declare empty").well();
    source.run("queues declare w -p v").well();
    source.run("bindings declare x q #").well();
    for n in 0..20 {
        source.run(&format!("publish key.{n} body-{n} -e x -P priority=1 -H n={n}")).well();
    }
    source.run("publish w alone -p v").well();
}

#[test]
fn a_broker_is_taken_over_whole() {
    let (source, target) = (Broker::start(), Broker::start());
    fill(&source);
    let uri = format!("amqp://guest:guest@{}", source.amqp);
    let import = |more: &[&str]| {
        let arguments = [&["import", uri.as_str(), "--from", &source.url, "--json"], more].concat();
        run(&target.url, &arguments, "")
    };
    let text = run(&source.url, &["import", &uri, "--from", &source.url], "").failed(1);
    assert!(text.contains("choose ours with --url"), "{text}");
    import(&["--dry-run"]).well();
    assert!(target.run("queues show q").failed(1).contains("no queue `q`"));

    // One queue that does not fit stops nothing else.
    let report = import(&[]).json();
    let row = |queue: &str| {
        let rows = report.as_array().unwrap();
        rows.iter().find(|row| row["queue"] == queue).unwrap().clone()
    };
    assert_eq!((&row("q")["taken"], &row("q")["arrived"]), (&json!(20), &json!(20)));
    assert_eq!((&row("w")["result"], &row("w")["left"]), (&json!("whole"), &json!(0)));
    assert_eq!((source.count("q"), target.count("q")), (json!(0), json!(20)));
    let message = target.run("get q --json").json()[0].clone();
    assert_eq!((&message["routing_key"], &message["payload"]), (&json!("key.0"), &json!("body-0")));
    assert_eq!(message["properties"]["priority"], 1);
    let message = run(&target.url, &["get", "w", "-p", "v", "--json"], "").json()[0].clone();
    assert_eq!((&message["exchange"], &message["routing_key"]), (&json!(""), &json!("w")));
    target.run("authenticate_user carol secret").well();
    let left = target.run("exchanges list name --match leveret.import --json").json();
    assert_eq!(left, json!([]), "the import's own exchanges are gone");

    // What came meanwhile is taken by running it again, and what a killed import left goes.
    target.run("exchanges declare leveret.import.q fanout --auto-delete --transient").well();
    target.run("bindings declare leveret.import.q q").well();
    source.run("publish late.one more -e x").well();
    import(&["--only-messages", "--queue", "q"]).well();
    assert_eq!((source.count("q"), target.count("q")), (json!(0), json!(21)));
    let left = target.run("exchanges list name --match leveret.import --json").json();
    assert_eq!(left, json!([]));
    assert!(import(&["--queue", "none"]).failed(1).contains("the source has no queue `none`"));
}

#[test]
fn what_is_refused_stays_at_the_source() {
    let (source, target) = (Broker::start(), Broker::start());
    for line in ["queues declare q", "publish q 1", "publish q 2", "publish q 3"] {
        source.run(line).well();
    }
    target.run("queues declare q -a x-max-length=1 -a x-overflow=reject-publish").well();
    let uri = format!("amqp://guest:guest@{}", source.amqp);
    let arguments = ["import", &uri, "--from", &source.url, "--only-messages"];
    let ran = run(&target.url, &arguments, "");
    assert!(ran.out.contains("may be in both"), "{}", ran.out);
    assert!(ran.failed(1).contains("1 queue not taken whole"));
    assert_eq!((source.count("q"), target.count("q")), (json!(3), json!(1)));
}
