//! A queue as declared.

use serde::{Deserialize, Serialize};

use super::QueueSettings;
use crate::error::Resource;
use crate::ids::{ConnectionId, Name, QueueId};
use crate::message::FieldTable;

/// What `queue.declare` says of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// Which queue this is; another one after a delete and a declare by the same name.
    pub id: QueueId,
    /// Its vhost.
    pub vhost: Name,
    /// Its name, unique in its vhost.
    pub name: Name,
    /// Survives a restart, with its persistent messages.
    pub durable: bool,
    /// Goes when its last consumer goes.
    pub auto_delete: bool,
    /// The connection that alone may use it, and with which it goes.
    pub owner: Option<ConnectionId>,
    /// The arguments as they came.
    pub arguments: FieldTable,
}

impl QueueSpec {
    /// How the queue is called in error texts.
    pub fn resource(&self) -> Resource<'_> {
        Resource::Queue(&self.name, &self.vhost)
    }

    /// The settings by the arguments alone.
    pub fn settings(&self) -> QueueSettings {
        QueueSettings::read(&self.arguments, self.resource())
    }
}
