//! One place for each binding of an exchange, in the order of destinations, for the types that pick
//! one of them.

use imbl::Vector;

use super::Destination;

#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    sorted: Vector<Destination>,
}

impl Places {
    pub(super) fn add(&mut self, destination: &Destination) {
        let (Ok(at) | Err(at)) = self.sorted.binary_search(destination);
        self.sorted.insert(at, destination.clone());
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        if let Ok(at) = self.sorted.binary_search(destination) {
            self.sorted.remove(at);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Destination> {
        self.sorted.get(at)
    }
}
