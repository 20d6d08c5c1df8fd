//! The modulus-hash exchange: the hash of the routing keys, divided by the number of bindings,
//! leaves the place of one of them, in the order of destinations (RabbitMQ: `x-modulus-hash`).

use super::places::Places;
use super::{Destination, RoutingInput, hash};
use crate::definitions::Binding;

#[derive(Debug, Clone, Default)]
pub(crate) struct ModulusHashRouter {
    places: Places,
}

impl ModulusHashRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        self.places.add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.places.remove(&binding.destination);
    }

    pub(super) fn route<'a>(
        &'a self,
        input: &RoutingInput<'_>,
        found: &mut dyn FnMut(&'a Destination),
    ) {
        if self.places.len() > 0 {
            let at = hash::strings(input.keys()) as usize % self.places.len();
            self.places.get(at).into_iter().for_each(found);
        }
    }
}
