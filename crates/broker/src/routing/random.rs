//! The random exchange: each message goes by one of the bindings, whatever its key (RabbitMQ:
//! Random Exchange Type).
//!
//! The choice is a function of the seed that the broker got and of how many messages the exchange
//! has routed; that count is shared by all versions of the definitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Destination;
use super::places::Places;
use crate::definitions::Binding;

/// Steele, Lea and Flood's SplitMix64.
#[derive(Debug)]
struct Dice {
    state: AtomicU64,
}

impl Dice {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// A number below `sides`.
    fn roll(&self, sides: usize) -> usize {
        let mut mixed = self.state.fetch_add(Self::STEP, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * sides as u128) >> 64) as usize
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RandomRouter {
    places: Places,
    dice: Arc<Dice>,
}

impl RandomRouter {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Dice { state: AtomicU64::new(seed) };
        Self { places: Places::default(), dice: Arc::new(dice) }
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        self.places.add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.places.remove(&binding.destination);
    }

    pub(super) fn route<'a>(&'a self, found: &mut dyn FnMut(&'a Destination)) {
        let at = match self.places.len() {
            0 | 1 => 0,
            several => self.dice.roll(several),
        };
        self.places.get(at).into_iter().for_each(found);
    }
}
