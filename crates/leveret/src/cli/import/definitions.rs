//! The definitions of the source, and what the import itself needs of ours.

use serde_json::{Value, json};

use super::Ends;
use crate::cli::api::{Refused, Target};
use crate::cli::resources::definitions::count;
use crate::cli::session::Session;

fn read(ends: &Ends<'_>) -> anyhow::Result<Value> {
    let target = ends.session.collection(&["definitions"]);
    let mut definitions = ends.source.get(&target)?;
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

/// Takes them: all or, if one is refused, none.
pub(super) fn take(ends: &Ends<'_>) -> anyhow::Result<()> {
    let (session, definitions) = (ends.session, read(ends)?);
    if let Some(vhost) = session.vhost_named() {
        let vhost = Target::new(format!("vhost `{vhost}`"), &["vhosts", vhost]);
        session.client.put(&vhost, &json!({}))?;
    }
    session.client.post(&session.collection(&["definitions"]), &definitions)?;
    session.say(&format!(
        "{} definitions were taken from {}; user `{}` keeps its password and tags",
        count(&definitions),
        ends.source.base(),
        session.client.user,
    ))
}

fn permission(vhost: &str, user: &str) -> Target {
    Target::new(format!("vhost `{vhost}`"), &["permissions", vhost, user])
}

/// Gives a user permissions in a vhost if it has none there; true if so.
pub(super) fn lend(session: &Session, vhost: &str, user: &str) -> anyhow::Result<bool> {
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
