//! The fanout exchange: every binding matches (0-9-1 specification 3.1.3.2).

use super::Destination;
use super::targets::Targets;
use crate::definitions::Binding;

#[derive(Debug, Clone, Default)]
pub(crate) struct FanoutRouter {
    targets: Targets,
}

impl FanoutRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        self.targets.add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.targets.remove(&binding.destination);
    }

    pub(super) fn route<'a>(&'a self, found: &mut dyn FnMut(&'a Destination)) {
        self.targets.for_each(found);
    }
}
