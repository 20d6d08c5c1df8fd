//! `/users` and `/whoami`: listing, changing and removing users.

use std::sync::Arc;

use hyper::StatusCode;
use leveret_broker::broker::Credential;
use leveret_broker::definitions::User;
use serde_json::{Map, Value, json};

use super::limits::user_limits;
use super::{missing_or, permissions, topic_permissions};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management};
use crate::list;
use crate::request::{Call, text};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "whoami", Management, whoami),
    route("GET", "users", Administrator, all),
    route("GET", "users/without-permissions", Administrator, without_permissions),
    route("POST", "users/bulk-delete", Administrator, delete_many),
    route("GET", "users/*", Administrator, one),
    route("PUT", "users/*", Administrator, put),
    route("DELETE", "users/*", Administrator, delete),
    route("GET", "users/*/permissions", Administrator, permissions::of_user),
    route("GET", "users/*/topic-permissions", Administrator, topic_permissions::of_user),
];

fn tags(user: &User) -> Value {
    user.tags.iter().map(|tag| json!(**tag)).collect()
}

fn render(call: &Call<'_>, user: &Arc<User>) -> Value {
    let (algorithm, hash) = user.password.export();
    let limits = call.app.broker().topology().user_limits.get(&user.name).copied();
    json!({
        "name": *user.name, "password_hash": hash, "hashing_algorithm": algorithm,
        "tags": tags(user), "limits": user_limits(&limits.unwrap_or_default()),
    })
}

fn whoami(call: &Call<'_>) -> Outcome {
    let user = &call.caller.user;
    Ok(Answer::json(&json!({ "name": *user.name, "tags": tags(user) })))
}

fn all(call: &Call<'_>) -> Outcome {
    let topology = call.app.broker().topology().clone();
    list::paged(call, topology.users.values().map(|user| render(call, user)).collect::<Vec<_>>())
}

fn without_permissions(call: &Call<'_>) -> Outcome {
    let topology = call.app.broker().topology().clone();
    let may_nothing = |user: &&Arc<User>| {
        !topology.vhosts.values().any(|vhost| vhost.permissions.contains_key(&user.name))
    };
    let users = topology.users.values().filter(may_nothing);
    list::values(call, users.map(|user| render(call, user)).collect())
}

fn one(call: &Call<'_>) -> Outcome {
    let user = call.app.broker().user(call.name(0)).map_err(missing_or)?;
    list::one(call, render(call, &user))
}

/// The tags of a body: a list, or a text with commas.
pub(super) fn tags_of(fields: &Map<String, Value>) -> Result<Vec<String>, Answer> {
    let bad = || Answer::bad("tags must be a list of strings or a text with commas");
    match fields.get("tags") {
        None => Err(Answer::bad("tags_not_present")),
        Some(Value::String(text)) => {
            let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
            Ok(tags.map(str::to_owned).collect())
        }
        Some(Value::Array(all)) => {
            all.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(bad)).collect()
        }
        Some(_) => Err(bad()),
    }
}

fn put(call: &Call<'_>) -> Outcome {
    let fields = call.object()?;
    let tags = tags_of(&fields)?;
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let (password, hash) = (text(&fields, "password")?, text(&fields, "password_hash")?);
    if !password.is_empty() && !hash.is_empty() {
        return Err(Answer::bad("a password and a password_hash cannot be given together"));
    }
    let algorithm = Some(text(&fields, "hashing_algorithm")?).filter(|name| !name.is_empty());
    let broker = call.app.broker();
    let name = call.name(0);
    let is_new = broker.user(name).is_err();
    let credential = match (password, hash) {
        ("", "") => Credential::None,
        ("", hash) => Credential::Hash { algorithm, hash },
        (password, _) => Credential::Password(password),
    };
    let position = broker.put_user(name, credential, &tags)?;
    call.audit(if is_new { "user added" } else { "user changed" }, name);
    Ok(Answer::put(is_new, position))
}

fn delete(call: &Call<'_>) -> Outcome {
    let position = call.app.broker().delete_user(call.name(0)).map_err(missing_or)?;
    call.audit("user deleted", call.name(0));
    Ok(Answer::done(position))
}

fn delete_many(call: &Call<'_>) -> Outcome {
    let fields = call.object_with(&["users"])?;
    let Some(Value::Array(names)) = fields.get("users") else {
        return Err(Answer::bad("users must be a list of names"));
    };
    let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
    let Some(names) = names else { return Err(Answer::bad("users must be a list of names")) };
    let mut answer = Answer::empty(StatusCode::NO_CONTENT);
    for name in names {
        // One that is gone already is no reason to keep the others.
        if let Ok(position) = call.app.broker().delete_user(name) {
            call.audit("user deleted", name);
            answer = answer.after(position);
        }
    }
    Ok(answer)
}
