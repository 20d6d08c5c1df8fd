//! What users and vhosts may have at a time, and how much they may publish.

use serde::{Deserialize, Serialize};

use crate::ids::Name;

/// What a vhost may have (RabbitMQ: Virtual Hosts, "Limits"). Without a number there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostLimits {
    /// Most connections.
    pub max_connections: Option<u64>,
    /// Most queues.
    pub max_queues: Option<u64>,
}

/// What a user may have (RabbitMQ: Per-User Resource Limits). Without a number there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLimits {
    /// Most connections.
    pub max_connections: Option<u64>,
    /// Most channels, over all connections.
    pub max_channels: Option<u64>,
}

/// How much may be published. Without a number there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Messages a second.
    pub messages_per_second: Option<u64>,
    /// Bytes of bodies a second.
    pub bytes_per_second: Option<u64>,
}

/// Whose quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaOf {
    /// A user's, in all vhosts together.
    User(Name),
    /// A vhost's, of all users together.
    Vhost(Name),
}
