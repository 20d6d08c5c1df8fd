//! A connection's memory of where its exchanges and routing keys lead, valid for one version of
//! the definitions.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use leveret_broker::broker::Route;

/// Most routes that a connection remembers.
const ROUTES_MAX: usize = 1024;

#[derive(Debug, Hash, PartialEq, Eq)]
struct Key {
    exchange: Box<str>,
    routing_key: Box<str>,
}

#[derive(Hash)]
struct KeyRef<'a> {
    exchange: &'a str,
    routing_key: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.routing_key == *key.routing_key && *self.exchange == *key.exchange
    }
}

#[derive(Debug, Default)]
pub(super) struct Routes {
    version: u64,
    known: HashMap<Key, Arc<Route>, RandomState>,
}

impl Routes {
    /// Forgets everything if the definitions have changed.
    pub(super) fn refresh(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.known.clear();
        }
    }

    /// Forgets everything: the user may do something else.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The version of the definitions that all this is of.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, exchange: &str, routing_key: &str) -> Option<Arc<Route>> {
        self.known.get(&KeyRef { exchange, routing_key }).cloned()
    }

    pub(super) fn remember(&mut self, exchange: &str, routing_key: &str, route: &Arc<Route>) {
        if self.known.len() >= ROUTES_MAX {
            self.known.clear();
        }
        let key = Key { exchange: exchange.into(), routing_key: routing_key.into() };
        self.known.insert(key, Arc::clone(route));
    }
}
