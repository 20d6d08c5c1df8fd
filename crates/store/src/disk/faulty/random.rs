//! Chance that a seed decides: the generator splitmix64.

/// A source of numbers; the same seed gives the same numbers on every machine.
#[derive(Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The source that `seed` begins. Those of neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.number()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a product of two u64")
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// True in `parts` of 8 cases.
    pub fn eighths(&mut self, parts: u64) -> bool {
        self.number() >> 61 < parts
    }

    /// True in half of the cases.
    pub fn coin(&mut self) -> bool {
        self.eighths(4)
    }
}
