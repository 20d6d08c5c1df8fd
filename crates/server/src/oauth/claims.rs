//! What a token says: whether it is for us, still good, whose it is, and what it allows.
//!
//! Invariants: what is missing refuses; nobody gets more time than the token has.

use std::sync::Arc;

use leveret_broker::auth::Scopes;
use leveret_broker::ids::{Name, Timestamp};
use serde_json::{Map, Value};

use super::{Bearer, Fault, OAuthOptions};

/// Most scopes of a token, as in RabbitMQ.
const SCOPES_MAX: usize = 2048;
/// The longest name of a user, in bytes.
const USER_MAX: usize = 255;
/// How far the issuer's clock may be ahead, in milliseconds.
const SKEW_MS: u64 = 30_000;
/// The longest that a token is good for from now, in milliseconds: ten years.
const LIFE_MAX_MS: u64 = 10 * 365 * 86_400_000;
/// Where a Keycloak token for a requesting party has its scopes.
const REQUESTING_PARTY: &str = "authorization.permissions.scopes";

type Claims = Map<String, Value>;

/// Whose the claims are, if they are good at `now`.
pub(super) fn bearer(
    claims: &Claims,
    options: &OAuthOptions,
    now: Timestamp,
) -> Result<Bearer, Fault> {
    let expires_at = expiry(claims, now)?;
    if let Some(not_before) = claims.get("nbf") {
        let not_before = seconds(not_before).ok_or(Fault::Malformed)?;
        if not_before > now.after(SKEW_MS) {
            return Err(Fault::NotYet);
        }
    }
    if options.verify_audience && !is_for(claims, &options.resource_server_id) {
        return Err(Fault::Audience);
    }
    if let Some(issuer) = &options.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Fault::Issuer);
    }
    let (user, scopes) = (user(claims, options)?, Arc::new(scopes(claims, options)?));
    Ok(Bearer { user, scopes, expires_at })
}

/// A time in whole seconds, as RabbitMQ cuts it.
fn seconds(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    // What is too large for the type becomes its largest value.
    Some(Timestamp((seconds as u64).saturating_mul(1_000)))
}

fn expiry(claims: &Claims, now: Timestamp) -> Result<Timestamp, Fault> {
    let expiry = claims.get("exp").and_then(seconds).ok_or(Fault::NoExpiry)?;
    if expiry <= now {
        return Err(Fault::Expired);
    }
    Ok(expiry.min(now.after(LIFE_MAX_MS)))
}

/// Whether `id` is in the audience: a list, or words of a text.
fn is_for(claims: &Claims, id: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(text)) => text == id || text.split(' ').any(|word| word == id),
        Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(id)),
        _ => false,
    }
}

fn user(claims: &Claims, options: &OAuthOptions) -> Result<Name, Fault> {
    let preferred = options.username_claims.iter().map(String::as_str);
    let mut names = preferred.chain(["sub", "client_id"]).filter_map(|claim| {
        claims.get(claim)?.as_str().filter(|name| (1..=USER_MAX).contains(&name.len()))
    });
    names.next().map(Name::from).ok_or(Fault::NoUser)
}

fn scopes(claims: &Claims, options: &OAuthOptions) -> Result<Scopes, Fault> {
    let mut found = Vec::new();
    let further = options.additional_scopes_key.as_deref().unwrap_or_default().split(' ');
    for path in ["scope", REQUESTING_PARTY].into_iter().chain(further) {
        if !path.is_empty() {
            collect(claims, path, &options.resource_server_id, &mut found);
        }
    }
    let prefix = options.prefix();
    let mut own: Vec<&str> =
        found.iter().filter_map(|scope| scope.strip_prefix(&*prefix)).collect();
    own.sort_unstable();
    own.dedup();
    if own.len() > SCOPES_MAX {
        return Err(Fault::TooManyScopes);
    }
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Scopes::parse(own, &claim))
}

/// Collects the scopes at a path: its words lead through objects, and through lists of these.
fn collect(claims: &Claims, path: &str, id: &str, found: &mut Vec<String>) {
    // A claim's own name may have points in it: `https://example.com/scopes`.
    if let Some(value) = claims.get(path) {
        return collect_value(value, id, found);
    }
    let Some((first, rest)) = path.split_once('.') else { return };
    match claims.get(first) {
        Some(Value::Object(inner)) => collect(inner, rest, id, found),
        Some(Value::Array(list)) => {
            for inner in list.iter().filter_map(Value::as_object) {
                collect(inner, rest, id, found);
            }
        }
        _ => {}
    }
}

/// Words of a text, texts of a list, or either by the resource server's id, then without it.
fn collect_value(value: &Value, id: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.extend(words(text)),
        Value::Array(list) => {
            found.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        Value::Object(by_id) => {
            let mut own = Vec::new();
            match by_id.get(id) {
                Some(Value::Object(_)) | None => {}
                Some(value) => collect_value(value, id, &mut own),
            }
            found.extend(own.into_iter().map(|scope| format!("{id}.{scope}")));
        }
        _ => {}
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned)
}
