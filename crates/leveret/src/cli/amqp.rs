//! AMQP connections of the verbs that need one.

use std::time::Duration;

use anyhow::anyhow;
use leveret_client::{Connection, Options, Uri};
use serde_json::Value;

use super::api::{Client, Target};
use super::session::Session;

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Where the session's broker speaks AMQP: at `explicit`, or where its management API says.
pub(super) fn uri(session: &Session, explicit: Option<&str>) -> anyhow::Result<Uri> {
    let mut uri: Uri = match explicit {
        Some(text) => text.parse()?,
        None => {
            let user = session.client.user.clone();
            let (host, password) = (session.host.clone(), session.password.clone());
            let port = port(&session.client)?;
            Uri { host, port, user, password, ..Uri::default() }
        }
    };
    if session.vhost_named().is_some() || explicit.is_none() {
        session.vhost().clone_into(&mut uri.vhost);
    }
    Ok(uri)
}

/// The port of the first AMQP listener.
fn port(client: &Client) -> anyhow::Result<u16> {
    let overview = client.get(&Target::new("overview", &["overview"]))?;
    let listeners = overview["listeners"].as_array().into_iter().flatten();
    let ports = listeners.filter(|one| one["protocol"] == "amqp").map(|one| &one["port"]);
    let port = ports.filter_map(Value::as_u64).find_map(|port| u16::try_from(port).ok());
    port.ok_or_else(|| {
        anyhow!("{} names no AMQP listener; give its address with --amqp", client.base())
    })
}

/// Connects.
pub(super) fn connect(uri: &Uri, name: &str) -> anyhow::Result<Connection> {
    let options = Options { name: name.to_owned(), timeout: CALL_MAX, ..Options::default() };
    Connection::connect_with(uri, &options).map_err(|error| {
        let Uri { host, port, user, vhost, .. } = uri;
        anyhow!("connecting to {host}:{port} as `{user}`, vhost `{vhost}`: {error}")
    })
}
