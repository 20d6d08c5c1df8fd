//! The audit trail: who did what to users, permissions and definitions from where, and who failed
//! to log in. Events of the target `audit`, in the log with all others.
//!
//! Invariant: no event has a secret in it; names come from clients and are quoted.

use std::net::IpAddr;

/// Notes an administrative act: `who` did `what` to `which`, from an address if there is one.
pub fn act(who: &str, from: Option<IpAddr>, what: &'static str, which: &str) {
    let from = from.map_or_else(|| "here".to_owned(), |from| from.to_string());
    tracing::info!(target: "audit", event = "act", who = ?who, %from, what, which = ?which);
}

/// Notes a failed login by `mechanism`.
pub(crate) fn login_failed(user: &str, from: IpAddr, mechanism: &str, reason: &str) {
    tracing::warn!(target: "audit", event = "login failed", user = ?user, %from, mechanism, reason);
}

/// Notes that a connection was refused a vhost.
pub(crate) fn vhost_refused(user: &str, from: IpAddr, reason: &str) {
    tracing::warn!(target: "audit", event = "vhost refused", user = ?user, %from, reason = ?reason);
}
