//! Flows over TLS: a server that is verified, a client's certificate, and who is refused.

use std::env;
use std::fs;
use std::path::Path;

use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, runtime};

use crate::harness::{Body, Flow, Result, check, drain, equal, flows, publish, within};

/// Empty unless there is a listener for TLS.
pub fn all() -> &'static [(&'static str, Body)] {
    if env::var_os("AMQPS_URL").is_some() { FLOWS } else { &[] }
}

const FLOWS: &[(&str, Body)] = flows![verified_server, external, strangers];

fn file(name: &str) -> Result<Vec<u8>> {
    let directory = env::var("TLS_DIR")?;
    Ok(fs::read(Path::new(&directory).join(name))?)
}

async fn connect(authority: &str, identity: Option<&str>, options: &str) -> Result<Connection> {
    let own = |name| -> Result<_> {
        let pem = file(&format!("{name}.pem"))?;
        Ok(OwnedIdentity::PKCS8 { pem, key: file(&format!("{name}.key"))? })
    };
    let config = OwnedTLSConfig {
        identity: identity.map(own).transpose()?,
        cert_chain: Some(String::from_utf8(file(authority)?)?),
    };
    let uri = format!("{}{options}", env::var("AMQPS_URL")?);
    let properties = ConnectionProperties::default();
    let runtime = runtime::default_runtime()?;
    let connecting = Connection::connect_with_config(&uri, properties, config, runtime);
    Ok(within(connecting, "connecting took too long").await??)
}

/// Publishes, is confirmed, and takes it all back: small messages and one of many records.
async fn exchange_messages(connection: Connection) -> Result {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    let mut bodies: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    bodies.push("0123456789abcdef".repeat(1 << 16));
    for body in &bodies {
        publish(&channel, "", queue.name().as_str(), body).await?;
    }
    let came = drain(&channel, queue.name().as_str()).await?;
    let came: Vec<_> = came.into_iter().map(|(_, body)| body).collect();
    check(came == bodies, "what came back differs")?;
    Ok(connection.close(200, "done".into()).await?)
}

/// A server whose certificate is verified; logged in by password.
async fn verified_server(_flow: &Flow) -> Result {
    exchange_messages(connect("ca.pem", None, "").await?).await
}

/// Logged in by a certificate alone.
async fn external(_flow: &Flow) -> Result {
    let options = "?auth_mechanism=external";
    exchange_messages(connect("ca.pem", Some("client"), options).await?).await
}

/// The client refuses a server of another authority, the server such a client.
async fn strangers(_flow: &Flow) -> Result {
    let mut refused = 0;
    for (authority, identity) in [("other-ca.pem", None), ("ca.pem", Some("other-client"))] {
        refused += u8::from(connect(authority, identity, "").await.is_err());
    }
    equal(refused, 2, "refused connections")
}
