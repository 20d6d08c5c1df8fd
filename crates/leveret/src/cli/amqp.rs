//! AMQP connections of the verbs that need one, over TLS where the URI begins with `amqps`.
//!
//! Invariant: who asks the management API over TLS does not send a password in the clear to another
//! machine, unless the address says so.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use leveret_client::{Connection, Options, TlsConfig, Uri};
use serde_json::Value;

use super::api::Target;
use super::session::Session;

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Where to connect to, and whom to trust there.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) uri: Uri,
    tls: Option<Arc<TlsConfig>>,
}

impl Place {
    fn new(session: &Session, uri: Uri) -> anyhow::Result<Self> {
        let tls = if uri.tls { Some(session.tls.config()?) } else { None };
        Ok(Self { uri, tls })
    }

    /// The place of a URI.
    pub(super) fn parse(session: &Session, text: &str) -> anyhow::Result<Self> {
        Self::new(session, text.parse()?)
    }

    /// Where the session's broker speaks AMQP: at `explicit`, or where its management API says.
    pub(super) fn find(session: &Session, explicit: Option<&str>) -> anyhow::Result<Self> {
        let mut uri: Uri = match explicit {
            Some(text) => text.parse()?,
            None => named(session)?,
        };
        if session.vhost_named().is_some() || explicit.is_none() {
            session.vhost().clone_into(&mut uri.vhost);
        }
        Self::new(session, uri)
    }

    /// The same with another vhost.
    pub(super) fn in_vhost(&self, vhost: &str) -> Self {
        let uri = Uri { vhost: vhost.to_owned(), ..self.uri.clone() };
        Self { uri, tls: self.tls.clone() }
    }

    /// Connects.
    pub(super) fn connect(&self, name: &str) -> anyhow::Result<Connection> {
        let (name, tls) = (name.to_owned(), self.tls.clone());
        let options = Options { name, tls, timeout: CALL_MAX, ..Options::default() };
        Connection::connect_with(&self.uri, &options).map_err(|error| {
            let Uri { host, port, user, vhost, .. } = &self.uri;
            anyhow!("connecting to {host}:{port} as `{user}`, vhost `{vhost}`: {error}")
        })
    }
}

/// Where the management API says that AMQP is spoken.
fn named(session: &Session) -> anyhow::Result<Uri> {
    let (port, tls) = listener(session)?;
    let password = session.credentials.password().to_owned();
    let user = match session.credentials.is_token() {
        // The name does not matter for the login, but for what it publishes.
        true => {
            let me = session.client.get(&Target::new("user", &["whoami"]))?;
            me["name"].as_str().unwrap_or_default().to_owned()
        }
        false => session.client.user.clone(),
    };
    Ok(Uri { host: session.host.clone(), port, tls, user, password, ..Uri::default() })
}

/// The port of the first AMQP listener; and whether it speaks TLS, as the API does.
fn listener(session: &Session) -> anyhow::Result<(u16, bool)> {
    let overview = session.client.get(&Target::new("overview", &["overview"]))?;
    let port = |protocol: &str| {
        let listeners = overview["listeners"].as_array().into_iter().flatten();
        let ports = listeners.filter(|one| one["protocol"] == protocol).map(|one| &one["port"]);
        ports.filter_map(Value::as_u64).find_map(|port| u16::try_from(port).ok())
    };
    let (plain, secure) = (port("amqp"), port("amqp/ssl"));
    let base = session.client.base();
    match (session.is_secure, plain, secure) {
        (true, _, Some(port)) => Ok((port, true)),
        (true, Some(_), None) if !is_here(&session.host) => {
            bail!("{base} names no AMQP listener with TLS; give an address with --amqp")
        }
        (_, Some(port), _) => Ok((port, false)),
        (false, None, Some(port)) => Ok((port, true)),
        (_, None, None) => {
            bail!("{base} names no AMQP listener; give its address with --amqp")
        }
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
