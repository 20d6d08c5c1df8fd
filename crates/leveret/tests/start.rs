//! What a newcomer may meet at a start, and what a service manager or health check sees of it: each
//! error names its cause and the way out.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_leveret");

/// A new, empty directory of this test, by the test's name.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Whatever is run, in an environment that holds nothing of ours.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    let names = std::env::vars().map(|(name, _)| name);
    for name in names.filter(|name| name.starts_with("LEVERET_") || name.starts_with("RABBITMQ_")) {
        command.env_remove(name);
    }
    command.env_remove("NOTIFY_SOCKET");
    command
}

/// A broker's command on a free port.
fn broker(data_dir: &Path) -> Command {
    let mut command = clean(BINARY);
    command.args(["server", "--amqp-listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    command
}

/// Starts a broker; its process, and the address in its `ready` line.
fn serve(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("amqp="));
    (child, address.unwrap().to_owned())
}

fn end(child: &mut Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Checks that a start failed with 1 and a last line that has all of `parts`.
fn assert_refused(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap();
    for part in parts {
        assert!(last.contains(part), "{part}: {text}");
    }
    assert!(output.stdout.is_empty());
}

/// Whether the tests run as root, to whom no directory is closed.
fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

#[test]
fn a_second_broker_is_told_who_has_its_directory() {
    let data = directory("locked");
    let (mut first, _) = serve(&mut broker(&data));
    let output = broker(&data).output().unwrap();
    let holder = format!("in use by process {} ", first.id());
    assert_refused(&output, &["data directory ", &holder, "stop that one", "--data-dir"]);
    end(&mut first);
}

#[test]
fn a_file_in_the_way_of_the_directory_is_named() {
    let path = directory("file").join("data");
    std::fs::write(&path, "").unwrap();
    let output = broker(&path).output().unwrap();
    let place = path.display().to_string();
    assert_refused(&output, &[&place, "a file stands where", "--data-dir"]);
}

#[test]
fn a_directory_of_somebody_else_is_refused_with_a_way_out() {
    let path = directory("closed");
    let mut command = if is_root() {
        // Somebody else has to try, with a binary that he can reach.
        let place = std::env::temp_dir().join(format!("leveret-start-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        let binary = place.join("leveret");
        std::fs::copy(BINARY, &binary).unwrap();
        let mut command = clean("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
        command.args(["--amqp-listen", "127.0.0.1:0", "--data-dir"]).arg(place.join("data"));
        command
    } else {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o555)).unwrap();
        broker(&path.join("data"))
    };
    let output = command.output().unwrap();
    let _ = std::fs::remove_dir_all(
        std::env::temp_dir().join(format!("leveret-start-{}", std::process::id())),
    );
    assert_refused(&output, &["Permission denied", "chown -R", "--data-dir"]);
}

#[test]
fn too_few_open_files_are_refused_with_what_to_raise() {
    let data = directory("files");
    let mut command = clean("sh");
    let script = "ulimit -n 64 && exec \"$0\" --amqp-listen 127.0.0.1:0 --data-dir \"$1\"";
    let output = command.args(["-c", script, BINARY]).arg(&data).output().unwrap();
    assert_refused(&output, &["limit of open files is 64", "256", "ulimit", "LimitNOFILE"]);
}

#[test]
fn a_file_that_was_named_and_is_not_there_is_named_with_the_key() {
    let data = directory("missing");
    let config = clean(BINARY).args(["--config", "/nonexistent/leveret.toml"]).output().unwrap();
    assert_refused(&config, &["/nonexistent/leveret.toml", "No such file", "LEVERET_CONFIG"]);
    let arguments = ["--load-definitions", "/nonexistent/definitions.json"];
    let definitions = broker(&data).args(arguments).output().unwrap();
    assert_refused(&definitions, &["definitions file /nonexistent/", "load_definitions"]);
    let arguments = ["--amqps-listen", "127.0.0.1:0", "--ssl-options-certfile", "/nonexistent/a"];
    let arguments = arguments.into_iter().chain(["--ssl-options-keyfile", "/nonexistent/b"]);
    let tls = broker(&data).args(arguments).output().unwrap();
    assert_refused(&tls, &["cannot use TLS for AMQP: /nonexistent/a: ", "ssl_options.certfile"]);
}

#[test]
fn a_taken_port_for_management_is_told_from_that_for_clients() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = directory("management");
    let output = broker(&data).args(["--management-tcp-port", &port]).output().unwrap();
    assert_refused(&output, &["management interface", "another broker", "--management-tcp-port"]);
}

/// The whole device takes a single page: enough for the directory, too little for anything in it.
#[test]
fn a_full_disk_is_refused_with_a_way_out() {
    if !is_root() {
        return; // Nobody else may mount anything.
    }
    let place = directory("full");
    let script = "mount -t tmpfs -o size=4k,mode=755 none \"$1\" && head -c 4096 /dev/zero \
                  > \"$1/fill\" && exec \"$0\" --amqp-listen 127.0.0.1:0 --data-dir \"$1/data\"";
    let mut command = clean("unshare");
    let output = command.args(["-m", "sh", "-c", script, BINARY]).arg(&place).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare") || text.contains("mount:") {
        return; // A container that allows no mounts.
    }
    assert_refused(&output, &["No space left", "free some space", "--data-dir"]);
}

#[test]
fn a_ping_tells_a_broker_from_nobody_and_from_something_else() {
    let (mut child, address) = serve(&mut broker(&directory("ping")));
    let ping = |address: &str| {
        let arguments = ["ping", "--timeout-ms", "2000", "--amqp-listen", address];
        clean(BINARY).args(arguments).output().unwrap()
    };
    let output = ping(&address);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("serves AMQP"));
    // A health check asks where the broker listens, which may be everywhere.
    assert!(ping(&address.replace("127.0.0.1", "0.0.0.0")).status.success());
    end(&mut child);
    assert_refused(&ping(&address), &["no broker at ", "refused"]);

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = other.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = other.accept().unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    });
    assert_refused(&ping(&place), &["does not speak AMQP"]);
    answering.join().unwrap();
}

#[test]
fn a_service_manager_hears_of_the_start_and_of_the_stop() {
    let place = directory("notify");
    let path = place.join("socket");
    let name = format!("leveret-notify-{}", std::process::id());
    let sockets = [
        (path.display().to_string(), UnixDatagram::bind(&path).unwrap()),
        (
            format!("@{name}"),
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
        ),
    ];
    for (variable, socket) in sockets {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut child, _) = serve(broker(&place.join("data")).env("NOTIFY_SOCKET", &variable));
        let mut buffer = [0; 256];
        let mut heard = |what: &str| {
            let len = socket.recv(&mut buffer).unwrap();
            assert!(String::from_utf8_lossy(&buffer[..len]).starts_with(what), "{variable}");
        };
        heard("READY=1\n");
        end(&mut child);
        heard("STOPPING=1\n");
    }
}

/// The chapter is made from the table of keys, so it is never behind it.
#[test]
fn the_reference_in_the_book_is_that_of_the_code() {
    let output = clean(BINARY).args(["config", "--reference"]).output().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = std::fs::read_to_string(path).unwrap();
    let made = String::from_utf8_lossy(&output.stdout);
    assert!(
        made == written,
        "write it anew: cargo run -- config --reference > docs/configuration.md"
    );
}
