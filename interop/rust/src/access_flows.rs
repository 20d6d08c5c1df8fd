//! Flows about who may do what, and how those who may not are told.

use std::env;

use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};

use crate::harness::{Body, Flow, Result, bind, check, drain, equal, flows, publish, take, within};

/// Empty unless there are the users.
pub fn all() -> &'static [(&'static str, Body)] {
    if env::var_os("USERS_PASSWORD").is_some() { FLOWS } else { &[] }
}

const FLOWS: &[(&str, Body)] = flows![permissions, logins];

async fn log_in(user: &str, password: &str, address: &str, vhost: &str) -> Result<Connection> {
    let uri = format!("amqp://{user}:{password}@{address}/{vhost}");
    let connecting = Connection::connect(&uri, ConnectionProperties::default());
    Ok(within(connecting, "connecting took too long").await??)
}

/// Where the broker listens.
fn here() -> Result<String> {
    let uri = env::var("AMQP_URL")?;
    let address = uri.split(['@', '/']).nth(3).ok_or("AMQP_URL has no address")?;
    Ok(address.to_owned())
}

/// Asserts that it failed by a closing of the broker with this code and text.
fn told<T>(outcome: Result<T>, code: u16, text: &str) -> Result {
    let Err(error) = outcome else { return Err(format!("no refusal: {text}").into()) };
    match error.downcast_ref::<lapin::Error>().map(|error| error.kind()) {
        Some(ErrorKind::ProtocolError(reply)) => {
            equal((reply.get_id(), reply.get_message().as_str()), (code, text), "the closing")
        }
        _ => Err(format!("{text}: {error}").into()),
    }
}

/// Asserts that what `user` does costs the channel, with this text, and not the connection.
async fn refused(user: &str, text: &str, action: impl AsyncFnOnce(&Channel) -> Result) -> Result {
    let connection = log_in(user, &env::var("USERS_PASSWORD")?, &here()?, "%2F").await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let outcome = within(action(&channel), "the broker did not answer").await?;
    told(outcome, 403, &format!("ACCESS_REFUSED - {text} refused for user '{user}'"))?;
    check(connection.status().connected(), "a channel error must leave the connection open")?;
    Ok(connection.close(200, "done".into()).await?)
}

/// Each permission that is missing is named, and costs the channel only.
async fn permissions(flow: &Flow) -> Result {
    let admin = flow.channel().await?;
    let queue = flow.queue(&admin, "queue").await?;
    let (queue, missing) = (queue.as_str(), flow.unique("missing"));
    let ours = format!("queue '{queue}' in vhost '/'");
    refused(
        "no_configure",
        &format!("configure access to queue '{missing}' in vhost '/'"),
        async |channel| {
            let (options, arguments) = (QueueDeclareOptions::default(), FieldTable::default());
            channel.queue_declare(missing.as_str().into(), options, arguments).await?;
            Ok(())
        },
    )
    .await?;
    refused("no_configure", &format!("configure access to {ours}"), async |channel| {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        Ok(())
    })
    .await?;
    refused("no_write", "write access to exchange 'amq.default' in vhost '/'", async |channel| {
        Ok(publish(channel, "", queue, "refused").await?)
    })
    .await?;
    refused("no_write", &format!("write access to {ours}"), async |channel| {
        bind(channel, queue, "amq.direct", "key").await
    })
    .await?;
    refused("no_read", &format!("read access to {ours}"), async |channel| {
        take(channel, queue).await.map(drop)
    })
    .await?;
    refused("no_read", "read access to exchange 'amq.direct' in vhost '/'", async |channel| {
        bind(channel, queue, "amq.direct", "key").await
    })
    .await?;
    topics(flow, queue).await
}

async fn topics(flow: &Flow, queue: &str) -> Result {
    let topic = "topic 'other.key' in exchange topic 'amq.topic' in vhost '/'";
    refused("topical", &format!("write access to {topic}"), async |channel| {
        Ok(publish(channel, "amq.topic", "other.key", "refused").await?)
    })
    .await?;
    refused("topical", &format!("read access to {topic}"), async |channel| {
        bind(channel, queue, "amq.topic", "other.key").await
    })
    .await?;
    let connection = log_in("topical", &env::var("USERS_PASSWORD")?, &here()?, "%2F").await?;
    let own = flow.channel_on(&connection).await?;
    bind(&own, queue, "amq.topic", "topical.#").await?;
    publish(&own, "amq.topic", "topical.key", "allowed").await?;
    let expected = [("topical.key".to_owned(), "allowed".to_owned())];
    equal(drain(&own, queue).await?, expected, "what came through")?;
    Ok(connection.close(200, "done".into()).await?)
}

/// Wrong passwords, users that are not known, vhosts that are closed to them or not there.
async fn logins(_flow: &Flow) -> Result {
    let (password, here) = (env::var("USERS_PASSWORD")?, here()?);
    let proxy = env::var("PROXY_ADDRESS")?;
    let refusal = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                   details see the broker logfile.";
    told(log_in("no_read", "x", &here, "%2F").await, 403, refusal)?;
    told(log_in("unknown", &password, &here, "%2F").await, 403, refusal)?;
    told(log_in("guest", "guest", &proxy, "%2F").await, 403, refusal)?;
    let closed = "NOT_ALLOWED - access to vhost '/' refused for user 'outsider'";
    told(log_in("outsider", &password, &here, "%2F").await, 530, closed)?;
    let missing = "NOT_ALLOWED - vhost missing not found";
    told(log_in("guest", "guest", &here, "missing").await, 530, missing)?;
    let connection = log_in("topical", &password, &proxy, "%2F").await?;
    Ok(connection.close(200, "done".into()).await?)
}
