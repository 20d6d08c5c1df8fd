//! The direct exchange: the routing key equals the binding key (0-9-1 specification 3.1.3.1).

use imbl::OrdMap;

use super::{Destination, Targets, add_target, remove_target};
use crate::definitions::Binding;
use crate::ids::Name;

#[derive(Debug, Clone, Default)]
pub(crate) struct DirectRouter {
    by_key: OrdMap<Name, Targets>,
}

impl DirectRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        add_target(
            self.by_key.entry(binding.routing_key.clone()).or_default(),
            &binding.destination,
        );
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        if let Some(targets) = self.by_key.get_mut(&binding.routing_key) {
            remove_target(targets, &binding.destination);
            if targets.is_empty() {
                self.by_key.remove(&binding.routing_key);
            }
        }
    }

    pub(super) fn route(&self, key: &str, found: &mut dyn FnMut(&Destination)) {
        if let Some(targets) = self.by_key.get(key) {
            targets.keys().for_each(found);
        }
    }
}
