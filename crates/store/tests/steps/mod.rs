//! Steps of a store that several tests take.

use leveret_store::{Store, Upkeep};

/// Upkeep until it has nothing to do.
pub fn tend(store: &Store) {
    loop {
        match store.upkeep(false).unwrap() {
            Upkeep::Idle => return,
            Upkeep::Worked => {}
            Upkeep::Waits(_) => drop(store.commit().unwrap()),
        }
    }
}
