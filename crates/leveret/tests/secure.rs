//! The verbs over TLS and with a token, on a broker that speaks nothing but TLS.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

fn leveret() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LEVERET_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A broker with a certificate for localhost, and the key of a token's issuer.
struct Broker {
    child: Child,
    directory: PathBuf,
    management: String,
    amqps: String,
}

fn port(line: &str, name: &str) -> String {
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
    let address = found.unwrap_or_else(|| panic!("{name} in {line:?}"));
    address.rsplit(':').next().unwrap().to_owned()
}

impl Broker {
    fn start(name: &str, more: &[&str]) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        for (file, names) in [("server", ["localhost"]), ("client", ["hare"])] {
            let names = names.map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            std::fs::write(directory.join(format!("{file}.pem")), made.cert.pem()).unwrap();
            let key = made.signing_key.serialize_pem();
            std::fs::write(directory.join(format!("{file}.key")), key).unwrap();
        }
        let keys = json!({"keys": [{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}]});
        std::fs::write(directory.join("keys.json"), keys.to_string()).unwrap();
        let mut command = leveret();
        command.args(["server", "--amqp-listen", "none", "--amqps-listen", "127.0.0.1:0"]);
        command.args(["--management-tcp-port", "none", "--prometheus-tcp-port", "none"]);
        command.args(["--management-ssl-port", "0", "--auth-oauth2-resource-server-id", "leveret"]);
        command.args(["--auth-oauth2-algorithms", "HS256"]);
        for (flag, file) in [
            ("--ssl-options-certfile", "server.pem"),
            ("--ssl-options-keyfile", "server.key"),
            ("--auth-oauth2-jwks-file", "keys.json"),
            ("--management-ssl-cacertfile", "client.pem"),
            ("--data-dir", "data"),
        ] {
            command.arg(flag).arg(directory.join(file));
        }
        command.args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (management, amqps) = (port(&line, "management_tls="), port(&line, "amqps="));
        Self { child, directory, management, amqps }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn run(&self, authority: &Path, token: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = leveret();
        command.env("LEVERET_URL", format!("https://localhost:{}", self.management));
        if let Some(token) = token {
            command.env("LEVERET_TOKEN", token);
        }
        command.arg(arguments[0]).arg("--ssl-ca-cert-file").arg(authority);
        command.args(&arguments[1..]).output().unwrap()
    }

    /// What is printed when it works.
    #[track_caller]
    fn well(&self, token: Option<&str>, arguments: &[&str]) -> String {
        let ran = self.run(&self.file("server.pem"), token, arguments);
        let error = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && error.is_empty(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(scopes: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": "hare", "aud": "leveret", "exp": now + 600, "scope": scopes});
    let header =
        Header { kid: Some("k".to_owned()), ..Header::new(jsonwebtoken::Algorithm::HS256) };
    encode(&header, &claims, &EncodingKey::from_secret(b"secret")).unwrap()
}

#[test]
fn verbs_work_over_tls_by_password_and_by_token() {
    let broker = Broker::start("secure", &[]);
    broker.well(None, &["queues", "declare", "q"]);
    let good =
        token("leveret.tag:administrator leveret.configure:*/* leveret.write:*/* leveret.read:*/*");
    let me = broker.well(Some(&good), &["whoami", "--json"]);
    assert!(me.contains("\"hare\"") && me.contains("administrator"), "{me}");
    broker.well(Some(&good), &["publish", "q", "one"]);
    broker.well(None, &["publish", "q", "two"]);
    // The API names nothing but AMQP over TLS, so that is what is spoken.
    let consume = ["consume", "q", "-n", "1", "--raw", "--timeout", "20"];
    assert!(broker.well(Some(&good), &consume).contains("one"));
    let explicit = format!("amqps://guest:guest@localhost:{}", broker.amqps);
    let more = [&consume[..], &["--amqp", &explicit]].concat();
    assert!(broker.well(None, &more).contains("two"));

    let poor = token("leveret.tag:management");
    let refused = broker.run(&broker.file("server.pem"), Some(&poor), &["users", "list"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("the token's user"), "{text}");
    for arguments in [&["overview"][..], &more] {
        let stranger = broker.run(&broker.file("client.pem"), None, arguments);
        assert_eq!(stranger.status.code(), Some(1), "a server that nobody has vouched for");
    }
}

#[test]
fn tls_is_not_given_up_silently() {
    let mut command = leveret();
    command.env("LEVERET_URL", "http://127.0.0.1:1").args(["overview", "--ssl"]);
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("begins with https"));
    let ran = leveret().args(["overview", "--ssl-cert-file", "x"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "a certificate without its key");
    let ran = leveret().args(["overview", "--token", "a\nb"]).output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("this is no token"));
}

#[test]
fn a_certificate_is_shown_where_one_is_asked_for() {
    let flags = ["--management-ssl-verify", "verify_peer"];
    let more = [&flags[..], &["--management-ssl-fail-if-no-peer-cert", "true"]].concat();
    let broker = Broker::start("mutual", &more);
    let [certificate, key, server] = ["client.pem", "client.key", "server.key"]
        .map(|file| broker.file(file).to_str().unwrap().to_owned());
    let shown = ["--ssl-cert-file", &certificate, "--ssl-key-file", &key];
    broker.well(None, &[&["overview"][..], &shown].concat());
    let refused = |arguments: &[&str]| {
        let ran = broker.run(&broker.file("server.pem"), None, arguments);
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let text = refused(&["overview"]);
    assert!(text.starts_with("leveret: asking https://localhost:"), "{text}");
    let other = ["overview", "--ssl-cert-file", &certificate, "--ssl-key-file", &server];
    assert!(!refused(&other).contains("panicked"), "a key of another certificate");
    let none = ["overview", "--ssl-cert-file", &certificate, "--ssl-key-file", &certificate];
    assert!(refused(&none).contains("there is no private key"));
}
