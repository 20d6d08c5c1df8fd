//! The built binary as a user meets it: its flags, its errors, its output and its signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The binary with an environment that holds nothing of ours.
fn leveret() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    for (name, _) in std::env::vars() {
        if name.starts_with("LEVERET_") || name.starts_with("RABBITMQ_") {
            command.env_remove(name);
        }
    }
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration file of this test, by the test's name.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_unknown_key_fails_with_its_place_and_the_nearest_key() {
    let path = file("unknown_key", "frame_max = 8192\nhartbeat = 5\n");
    let output = leveret().arg("config").arg("--check").arg("--config").arg(&path).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected =
        format!("{}:2:1: unknown key `hartbeat`; did you mean `heartbeat`?", path.display());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn all_mistakes_of_all_sources_are_reported_at_once() {
    let path = file("all_mistakes", "heartbeat = 'often'\n");
    let output = leveret()
        .args(["config", "--set", "frame_maxx=1", "--channel-max", "many", "--config"])
        .arg(&path)
        .env("LEVERET_CONNECTION_MAX", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("flag --set frame_maxx: unknown key `frame_maxx`; did you"), "{text}");
    assert!(text.contains("flag --channel-max: channel_max: expected a number from 1"), "{text}");
    assert!(text.contains("environment LEVERET_CONNECTION_MAX: connection_max: exp"), "{text}");
    assert!(text.contains("all_mistakes.toml:1:13: heartbeat: expected seconds"), "{text}");
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let text = "heartbeat = 10\nchannel_max = 11\nframe_max = 12000\n";
    let path = file("precedence", text);
    let output = leveret()
        .args(["config", "--heartbeat", "30"])
        .env("LEVERET_CONFIG", &path)
        .env("LEVERET_HEARTBEAT", "20")
        .env("LEVERET_CHANNEL_MAX", "21")
        .output()
        .unwrap();
    let text = stdout(&output);
    let values: toml::Table = text.parse().unwrap();
    assert_eq!(values["heartbeat"].as_integer(), Some(30));
    assert_eq!(values["channel_max"].as_integer(), Some(21));
    assert_eq!(values["frame_max"].as_integer(), Some(12_000));
    assert!(text.contains("# From: flag --heartbeat\nheartbeat = 30\n"), "{text}");
    assert!(text.contains("# From: environment LEVERET_CHANNEL_MAX\n"), "{text}");
    assert!(text.contains(&format!("# From: {}:3\n", path.display())), "{text}");
}

#[test]
fn the_printed_configuration_is_a_configuration_file() {
    let arguments = ["config", "--set", "log.level=debug", "--amqp-listen", "127.0.0.1:1"];
    let first = leveret().args(arguments).args(["--amqp-listen", "[::1]:2"]).output().unwrap();
    let path = file("printed", &stdout(&first));
    let second = leveret().arg("config").arg("--config").arg(&path).output().unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    let table = |output| stdout(output).parse::<toml::Table>().unwrap();
    assert_eq!(table(&first), table(&second));
    assert_eq!(table(&first)["amqp_listen"].as_array().unwrap().len(), 2);
}

#[test]
fn secrets_are_printed_only_when_asked_for() {
    let command = |extra: &[&str]| {
        let mut command = leveret();
        command.arg("config").args(extra).env("RABBITMQ_DEFAULT_PASS", "hunter2");
        stdout(&command.output().unwrap())
    };
    assert!(!command(&[]).contains("hunter2"));
    assert!(command(&["--show-secrets"]).contains("default_pass = \"hunter2\""));
}

#[test]
fn a_variable_of_ours_that_is_unknown_is_a_warning() {
    let output = leveret().args(["config", "--check"]).env("LEVERET_HARTBEAT", "1").output();
    let output = output.unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).contains("did you mean `LEVERET_HEARTBEAT`?"), "{}", stderr(&output));
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = data_dir();
    let mut command = leveret();
    command.args(["server", "--amqp-listen", &address, "--data-dir"]).arg(data);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("cannot listen on {address}: ")), "{text}");
    assert!(text.contains("another broker") && text.contains("--amqp-listen"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

/// A data directory for one server: no other process may have it.
fn data_dir() -> PathBuf {
    static SERVERS: AtomicUsize = AtomicUsize::new(0);
    let number = SERVERS.fetch_add(1, Ordering::Relaxed);
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{number}"));
    let _ = std::fs::remove_dir_all(&data);
    data
}

/// A broker on a free port, with its `ready` line read.
fn serve(arguments: &[&str]) -> (Child, String) {
    let data = data_dir();
    let mut child = leveret()
        .args(arguments)
        .args(["--amqp-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
}

#[test]
fn it_says_when_it_is_ready_and_sigterm_ends_it_with_0() {
    for arguments in [&[][..], &["server"][..]] {
        let (mut child, line) = serve(arguments);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.first(), Some(&"ready"), "{line}");
        let address = words[1].strip_prefix("amqp=").unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok(), "{line}");
        let start_ms = words.last().and_then(|word| word.strip_prefix("start_ms="));
        assert!(start_ms.unwrap().parse::<u64>().is_ok(), "{line}");
        send("TERM", &child);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn sighup_applies_what_it_can_and_names_what_needs_a_restart() {
    let path = file("reload", "heartbeat = 10\n");
    let config = path.display().to_string();
    let (mut child, _) = serve(&["server", "--log-format", "json", "--config", &config]);
    std::fs::write(&path, "heartbeat = 20\nworker_threads = 3\n").unwrap();
    send("HUP", &child);
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let seen: Vec<String> =
        log.by_ref().take_while(|line| !line.contains("configuration reloaded")).collect();
    let has = |key: &str, message: &str| {
        let key = format!("\"key\":\"{key}\"");
        seen.iter().any(|line| line.contains(&key) && line.contains(message))
    };
    assert!(has("heartbeat", "configuration key changed"), "{seen:?}");
    assert!(has("worker_threads", "needs a restart"), "{seen:?}");
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_version_is_printed() {
    for argument in ["version", "--version"] {
        let output = leveret().arg(argument).output().unwrap();
        assert_eq!(stdout(&output), format!("leveret {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_wrong_definitions_file_is_no_start() {
    let path = file("definitions", r#"{"queues": [{"name": "q", "vhost": "nowhere"}]}"#);
    let data_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wrong-definitions");
    let output = leveret()
        .args(["server", "--amqp-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data_dir)
        .arg("--load-definitions")
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "definitions file {}: queues[0] \"q\": vhost 'nowhere' does not exist",
        path.display()
    );
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}
