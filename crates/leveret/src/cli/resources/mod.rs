//! A file for each kind of thing: its columns, its verbs, and what they ask of the API.

pub(super) mod bindings;
pub(super) mod channels;
pub(super) mod connections;
pub(super) mod consume;
pub(super) mod consumers;
pub(super) mod definitions;
pub(super) mod exchanges;
pub(super) mod feature_flags;
pub(super) mod get;
pub(super) mod health;
pub(super) mod limits;
pub(super) mod logs;
pub(super) mod messages;
pub(super) mod nodes;
pub(super) mod overview;
pub(super) mod parameters;
pub(super) mod permissions;
pub(super) mod policies;
pub(super) mod publish;
pub(super) mod queues;
pub(super) mod scheduled;
pub(super) mod status;
pub(super) mod topic_permissions;
pub(super) mod users;
pub(super) mod vhosts;
pub(super) mod whoami;

/// What became of a thing that was declared.
fn declared(is_new: bool) -> &'static str {
    if is_new { "was declared" } else { "was there already" }
}

/// What became of a thing that was set.
fn set(is_new: bool) -> &'static str {
    if is_new { "was set" } else { "was replaced" }
}
