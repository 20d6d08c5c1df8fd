//! The definitions of the source, and what the import itself needs of ours.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::Ends;
use crate::cli::api::{Refused, Target};
use crate::cli::resources::definitions::count;
use crate::cli::session::Session;
use crate::cli::table::counted;

fn read(ends: &Ends<'_>) -> anyhow::Result<Value> {
    let target = ends.session.collection(&["definitions"]);
    let mut definitions = ends.source.get(&target).context("the broker to take over")?;
    // With the source's password for it the import would lock itself out.
    let user = &ends.session.client.user;
    if let Some(users) = definitions["users"].as_array_mut() {
        users.retain(|one| one["name"] != json!(user));
    }
    Ok(definitions)
}

/// How many would be taken.
pub(super) fn preview(ends: &Ends<'_>) -> anyhow::Result<usize> {
    read(ends).map(|definitions| count(&definitions))
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 400)
}

/// Takes streams and what is bound to them out; returns how many streams there were.
fn without_streams(definitions: &mut Value) -> u64 {
    let mut streams = BTreeSet::new();
    let place = |entry: &Value, key: &str| {
        let text = |key: &str| entry[key].as_str().map(str::to_owned);
        (text("vhost"), text(key))
    };
    if let Some(queues) = definitions["queues"].as_array_mut() {
        queues.retain(|queue| {
            let stream = queue["arguments"]["x-queue-type"] == "stream";
            !(stream && streams.insert(place(queue, "name")))
        });
    }
    if let Some(bindings) = definitions["bindings"].as_array_mut() {
        bindings.retain(|binding| {
            let to_queue = binding["destination_type"] == "queue";
            !(to_queue && streams.contains(&place(binding, "destination")))
        });
    }
    streams.len() as u64
}

/// Takes them: all or, if one is refused, none.
pub(super) fn take(ends: &Ends<'_>) -> anyhow::Result<()> {
    let (session, mut definitions) = (ends.session, read(ends)?);
    if let Some(vhost) = session.vhost_named() {
        let vhost = Target::new(format!("vhost `{vhost}`"), &["vhosts", vhost]);
        session.client.put(&vhost, &json!({}))?;
    }
    let target = session.collection(&["definitions"]);
    match session.client.post(&target, &definitions) {
        Err(error) if is_refusal(&error) => {
            let without = without_streams(&mut definitions);
            ensure!(without > 0, error);
            session.client.post(&target, &definitions)?;
            let streams = counted(without, "stream");
            session.say(&format!("{streams} left out, since this broker has none: {error}"))?;
        }
        done => done.map(drop)?,
    }
    session.say(&format!(
        "definitions taken from {1}: {0}; user `{2}` keeps its password and tags",
        count(&definitions),
        ends.source.base(),
        session.client.user,
    ))
}

fn permission(vhost: &str, user: &str) -> Target {
    Target::new(format!("vhost `{vhost}`"), &["permissions", vhost, user])
}

/// Gives a user permissions in a vhost if it has none there; true if so. A token says itself what
/// it may.
pub(super) fn lend(session: &Session, vhost: &str, user: &str) -> anyhow::Result<bool> {
    if session.credentials.is_token() {
        return Ok(false);
    }
    let target = permission(vhost, user);
    match session.client.get(&target) {
        Ok(_) => return Ok(false),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == 404 => {}
            _ => return Err(error),
        },
    }
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    session.client.put(&target, &all)
}

/// Takes back what was lent.
pub(super) fn take_back(session: &Session, vhost: &str, user: &str) -> anyhow::Result<()> {
    session.client.delete(&permission(vhost, user)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_with_its_bindings() {
        let binding = |to: &str, kind: &str| {
            let mut binding = json!({"vhost": "/", "destination": to});
            binding["destination_type"] = json!(kind);
            binding
        };
        let mut definitions = json!({
            "queues": [
                {"name": "s", "vhost": "/", "arguments": {"x-queue-type": "stream"}},
                {"name": "s", "vhost": "other", "arguments": {}},
            ],
            "bindings": [binding("s", "queue"), binding("s", "exchange"), binding("q", "queue")],
        });
        assert_eq!(without_streams(&mut definitions), 1);
        assert_eq!(definitions["queues"][0]["vhost"], "other");
        assert_eq!(
            definitions["bindings"],
            json!([binding("s", "exchange"), binding("q", "queue")])
        );
    }
}
