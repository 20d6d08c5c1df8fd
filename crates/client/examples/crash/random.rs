//! Chance that a seed repeats: xorshift64*.

/// A generator, the same everywhere for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of one part of a run: the same seed and part, the same numbers.
    pub fn of(seed: u64, part: u64) -> Random {
        let mixed = (seed ^ part.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = Random((mixed ^ (mixed >> 29) ^ part) | 1);
        random.next();
        random
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`, which has to be above 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `low` up to and with `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
