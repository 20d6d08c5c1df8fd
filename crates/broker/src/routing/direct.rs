//! The direct exchange: the routing key equals the binding key (0-9-1 specification 3.1.3.1).

use imbl::OrdMap;

use super::Destination;
use super::targets::Targets;
use crate::definitions::Binding;
use crate::ids::Name;

#[derive(Debug, Clone, Default)]
pub(crate) struct DirectRouter {
    by_key: OrdMap<Name, Targets>,
}

impl DirectRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        self.by_key.entry(binding.routing_key.clone()).or_default().add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        if let Some(targets) = self.by_key.get_mut(&binding.routing_key) {
            targets.remove(&binding.destination);
            if targets.is_empty() {
                self.by_key.remove(&binding.routing_key);
            }
        }
    }

    pub(super) fn route<'a>(&'a self, key: &str, found: &mut dyn FnMut(&'a Destination)) {
        if let Some(targets) = self.by_key.get(key) {
            targets.for_each(found);
        }
    }
}
