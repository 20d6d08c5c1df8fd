//! The fanout exchange: every binding matches (0-9-1 specification 3.1.3.2).

use super::{Destination, Targets, add_target, remove_target};
use crate::definitions::Binding;

#[derive(Debug, Clone, Default)]
pub(crate) struct FanoutRouter {
    targets: Targets,
}

impl FanoutRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        add_target(&mut self.targets, &binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        remove_target(&mut self.targets, &binding.destination);
    }

    pub(super) fn route(&self, found: &mut dyn FnMut(&Destination)) {
        self.targets.keys().for_each(found);
    }
}
