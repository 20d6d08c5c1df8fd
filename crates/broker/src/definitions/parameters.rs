//! What is kept as it was said: a vhost's description, tags and default queue type, runtime
//! parameters and global ones.
//!
//! Invariant: the value of a parameter is JSON in one line, checked before a command is made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Command, Topology};
use crate::ids::Name;

/// The global parameter that names the cluster.
pub const CLUSTER_NAME: &str = "cluster_name";

/// What a vhost says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostMetadata {
    /// In the words of who made it.
    pub description: Name,
    /// Any words.
    pub tags: Vec<Name>,
    /// The type of a queue that is declared without one, if it can be of that type.
    pub default_queue_type: Option<Name>,
    /// It cannot be deleted until this is taken back.
    pub protected: bool,
}

/// A runtime parameter by its component and name.
pub type ParameterKey = (Name, Name);

impl Topology {
    /// Carries out the commands that change what is kept here; no others.
    pub(super) fn apply_parameters(&mut self, command: &Command) {
        match command {
            Command::DescribeVhost(vhost, metadata) => {
                self.change(vhost, |vhost| vhost.metadata = Arc::new(metadata.clone()));
            }
            Command::PutParameter(vhost, component, name, value) => self.change(vhost, |vhost| {
                vhost.parameters.insert((component.clone(), name.clone()), value.clone());
            }),
            Command::DeleteParameter(vhost, component, name) => self.change(vhost, |vhost| {
                vhost.parameters.remove(&(component.clone(), name.clone()));
            }),
            Command::PutGlobalParameter(name, value) => {
                self.global_parameters.insert(name.clone(), value.clone());
            }
            Command::DeleteGlobalParameter(name) => {
                self.global_parameters.remove(name);
            }
            _ => {}
        }
    }
}
