//! A client of the management API, RabbitMQ's or ours: one request, one answer, and words for what
//! went wrong.
//!
//! Names are percent-encoded whole, so that no name can reach another path. No proxy is used.

use std::cell::RefCell;
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_server::WebAddress;
use leveret_server::web_client::{Host, Question, Unanswered};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::table::harmless;

/// How long a request may take; an import of definitions takes long.
const REQUEST_MAX: Duration = Duration::from_secs(300);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// What a request is about: its path, and words for it should it not be there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    path: String,
    what: String,
    reason: Option<String>,
}

impl Target {
    /// The path of these segments under `/api`, and what is to be found there.
    pub(super) fn new(what: impl Into<String>, segments: &[&str]) -> Self {
        let encoded = segments.iter().map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC));
        let path = encoded.map(|name| format!("/{name}")).collect();
        Self { path, what: what.into(), reason: None }
    }

    /// What is one name below.
    pub(super) fn below(mut self, name: &str) -> Self {
        self.path.push_str(&format!("/{}", utf8_percent_encode(name, NON_ALPHANUMERIC)));
        self
    }

    /// The same with a parameter of the query.
    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        self.path.push_str(&format!("{name}={value}"));
        self
    }

    /// The same with a reason, which who is concerned gets to see.
    pub(super) fn because(self, reason: Option<&str>) -> Self {
        // A header takes no other characters.
        let visible = |text: &str| text.chars().filter(|c| matches!(c, ' '..='~')).collect();
        Self { reason: reason.map(visible), ..self }
    }
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refused {
    /// The status of the answer.
    pub(super) status: u16,
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// As whom to ask.
#[derive(Clone)]
pub(super) enum Credentials {
    /// A user and its password.
    Password(String, String),
    /// A token.
    Token(String),
}

impl Credentials {
    fn header(&self) -> String {
        match self {
            Self::Password(user, password) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Self::Token(token) => format!("Bearer {token}"),
        }
    }

    /// The user, or words for the token's.
    fn user(&self) -> &str {
        match self {
            Self::Password(user, _) => user,
            Self::Token(_) => "the token's user",
        }
    }

    /// What stands for a password in other protocols.
    pub(super) fn password(&self) -> &str {
        match self {
            Self::Password(_, secret) | Self::Token(secret) => secret,
        }
    }

    pub(super) fn is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }
}

/// Where to ask, and as whom.
pub(super) struct Client {
    /// Where the host is asked from; it runs while somebody waits.
    runtime: Runtime,
    host: RefCell<Host>,
    base: String,
    authorization: String,
    /// The user as whom requests are made.
    pub(super) user: String,
}

impl Client {
    /// A client for `http://HOST:PORT`, or `https` with these settings.
    pub(super) fn new(
        base: &str,
        credentials: &Credentials,
        tls: impl FnOnce() -> anyhow::Result<Arc<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/');
        let address: WebAddress =
            base.parse().map_err(|_| anyhow!("`{base}` is no address such as http://HOST:PORT"))?;
        let mut host = Host::new(address).with_answer_max(ANSWER_BYTES_MAX);
        if base.starts_with("https:") {
            host = host.with_tls(tls()?);
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.context("starting a runtime")?,
            host: RefCell::new(host),
            base: base.to_owned(),
            authorization: credentials.header(),
            user: credentials.user().to_owned(),
        })
    }

    /// The address without path, for messages.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What is there.
    pub(super) fn get(&self, target: &Target) -> anyhow::Result<Value> {
        Ok(self.expect("GET", target, None)?.1)
    }

    /// Makes or changes; true if it is new.
    pub(super) fn put(&self, target: &Target, body: &Value) -> anyhow::Result<bool> {
        Ok(self.expect("PUT", target, Some(body))?.0 == 201)
    }

    /// Asks for something to be done.
    pub(super) fn post(&self, target: &Target, body: &Value) -> anyhow::Result<Value> {
        Ok(self.expect("POST", target, Some(body))?.1)
    }

    /// Removes; some answer what they have removed.
    pub(super) fn delete(&self, target: &Target) -> anyhow::Result<Value> {
        Ok(self.expect("DELETE", target, None)?.1)
    }

    /// What is there, also if it says with a 503 that something is wrong.
    pub(super) fn check(&self, target: &Target) -> anyhow::Result<(bool, Value)> {
        let (status, text) = self.send("GET", target, None)?;
        match status {
            503 => Ok((false, parse(&text).unwrap_or_default())),
            _ => Ok((true, self.judge(target, status, &text)?)),
        }
    }

    fn expect(
        &self,
        method: &str,
        target: &Target,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let (status, text) = self.send(method, target, body)?;
        Ok((status, self.judge(target, status, &text)?))
    }

    fn judge(&self, target: &Target, status: u16, text: &str) -> anyhow::Result<Value> {
        if (200..300).contains(&status) {
            let foreign = || {
                let base = &self.base;
                anyhow!("what answers at {base} is no management API; choose another with --url")
            };
            return parse(text).with_context(foreign);
        }
        let text = self.explain(target, status, &parse(text).unwrap_or_default());
        Err(Refused { status, text }.into())
    }

    fn send(
        &self,
        method: &str,
        target: &Target,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, String)> {
        let path = format!("/api{}", target.path);
        let mut headers = vec![
            ("accept", "*/*"),
            ("authorization", &self.authorization),
            ("content-type", "application/json"),
        ];
        headers.extend(target.reason.as_ref().map(|reason| ("x-reason", reason.as_str())));
        let body = body.map(|body| body.to_string().into_bytes());
        let question = Question { method, path: &path, headers: &headers, body };
        let mut host = self.host.borrow_mut();
        let asked = async { timeout(REQUEST_MAX, host.ask(question)).await };
        let answer = self.runtime.block_on(asked).unwrap_or(Err(Unanswered::TimedOut));
        let answer = answer.map_err(|error| self.failed(&error))?;
        let text = String::from_utf8(answer.body)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok((answer.status.as_u16(), text))
    }

    /// Words for a request without an answer.
    fn failed(&self, error: &Unanswered) -> anyhow::Error {
        let base = &self.base;
        match error {
            Unanswered::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                anyhow!(
                    "nothing listens at {base} (connection refused); start a broker there, for \
                     example with `leveret server`, or choose another with --url or LEVERET_URL"
                )
            }
            Unanswered::Unreachable(error) if error.kind() == ErrorKind::TimedOut => {
                anyhow!("{base} did not answer in time")
            }
            Unanswered::NoSuchHost(error) => {
                anyhow!("there is no host of the name in {base} ({error})")
            }
            Unanswered::TimedOut => anyhow!("{base} did not answer in time"),
            error => anyhow!("asking {base}: {error}"),
        }
    }

    /// Words for an answer that is no success.
    fn explain(&self, target: &Target, status: u16, body: &Value) -> String {
        let reason = body["reason"].as_str().or(body["error"].as_str()).unwrap_or_default();
        let (base, user) = (&self.base, &self.user);
        let tag = match reason {
            "Not administrator user" => "administrator",
            "Not monitor user" => "monitoring",
            "Not policymaker" | "Not policymaker user" => "policymaker",
            "Not management user" | "User not authorised to access virtual host" => "management",
            _ => "",
        };
        match status {
            401 | 403 if !tag.is_empty() => format!(
                "`{user}` may not do this at {base}: {reason}. An administrator can give the \
                 tag: leveret users set-tags {user} {tag}"
            ),
            401 if matches!(reason, "" | "Login failed" | "not_authorized" | "not_authorised") => {
                format!(
                    "{base} does not let `{user}` in: the user name or the password is wrong. \
                     Choose with --user; the password comes from LEVERET_PASSWORD or \
                     --password-stdin, or is asked for; a token comes from LEVERET_TOKEN"
                )
            }
            401 | 403 => format!("`{user}` may not do this at {base}: {reason}"),
            404 if matches!(reason, "" | "Not Found") => format!("there is no {}", target.what),
            404 => format!("there is no {}: {reason}", target.what),
            _ if reason.is_empty() => format!("{base} answered with status {status}"),
            _ => {
                let lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
                harmless(&lines.collect::<Vec<_>>().join(": "))
            }
        }
    }
}

/// Parses an answer; none at all is null.
fn parse(text: &str) -> serde_json::Result<Value> {
    if text.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reaches_another_path() {
        let target = Target::new("it", &["queues", "/", "../a?b#c%2F"]).query("x", "1&y=2");
        assert_eq!(target.path, "/queues/%2F/%2E%2E%2Fa%3Fb%23c%252F?x=1%26y%3D2");
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let credentials = Credentials::Password("me".to_owned(), "secret".to_owned());
        let client = Client::new("http://h:1/", &credentials, || unreachable!()).unwrap();
        let target = Target::new("queue `q`", &["queues"]);
        let explain = |status, reason: &str| {
            client.explain(&target, status, &serde_json::json!({ "reason": reason }))
        };
        assert!(explain(401, "Login failed").contains("http://h:1 does not let `me` in"));
        let text = explain(401, "Not administrator user");
        assert!(text.ends_with("leveret users set-tags me administrator"), "{text}");
        assert_eq!(explain(404, "Not Found"), "there is no queue `q`");
        assert_eq!(explain(400, "not_json"), "not_json");
    }

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_asked() {
        let credentials = Credentials::Token("t".to_owned());
        let client = |base: &str| Client::new(base, &credentials, || unreachable!());
        for base in ["", "localhost", "http://", "ftp://h", "http://h:99999", "http://a b"] {
            let error = client(base).err().unwrap().to_string();
            assert!(error.ends_with("is no address such as http://HOST:PORT"), "{base}: {error}");
        }
        assert_eq!(client("http://[::1]:15672/").unwrap().base(), "http://[::1]:15672");
    }

    #[test]
    fn without_an_answer_it_is_said_why() {
        let credentials = Credentials::Token("t".to_owned());
        let client = |base: &str| Client::new(base, &credentials, || unreachable!()).unwrap();
        let target = Target::new("it", &["overview"]);
        let free = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        let error = client(&format!("http://{free}")).get(&target).unwrap_err().to_string();
        assert!(error.starts_with(&format!("nothing listens at http://{free} (conn")), "{error}");
        // No name server need be asked about a name that is too long.
        let long = format!("http://{}:1", "x".repeat(64));
        let error = client(&long).get(&target).unwrap_err().to_string();
        assert!(error.starts_with(&format!("there is no host of the name in {long}")), "{error}");
    }
}
