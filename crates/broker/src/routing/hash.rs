//! The numbers that RabbitMQ's hashing exchanges work with, so that a key goes to the same place
//! here as there: Erlang's portable hash of strings, and jump-consistent hashing (Lamping and
//! Veach, 2014) fed by an xorshift1024* generator.

/// Erlang's default range of a hash.
const RANGE_MASK: u32 = (1 << 27) - 1;
const GOLDEN: u32 = 0x9e37_79b9;
/// What distinguishes the kinds of terms.
const BINARY: u32 = GOLDEN.wrapping_mul(13);
const FLOAT: u32 = GOLDEN.wrapping_mul(12);
const ATOM: u32 = GOLDEN.wrapping_mul(2);
const EMPTY_LIST: u32 = 2;

/// Bob Jenkins' mix of 1996.
fn mix(mut a: u32, mut b: u32, mut c: u32) -> [u32; 3] {
    for [first, second, third] in [[13, 8, 13], [12, 16, 5], [3, 10, 15]] {
        a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> first);
        b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << second);
        c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> third);
    }
    [a, b, c]
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// Jenkins' hash of 1996 over bytes, from a start value.
fn hash_bytes(bytes: &[u8], start: u32) -> u32 {
    let (mut a, mut b, mut c) = (GOLDEN, GOLDEN, start);
    let mut chunks = bytes.chunks_exact(12);
    for chunk in &mut chunks {
        a = a.wrapping_add(word(&chunk[..4]));
        b = b.wrapping_add(word(&chunk[4..8]));
        c = c.wrapping_add(word(&chunk[8..]));
        [a, b, c] = mix(a, b, c);
    }
    let rest = chunks.remainder();
    let part = |from: usize, to: usize| word(&rest[from.min(rest.len())..to.min(rest.len())]);
    // The lowest byte of the last word is the length's.
    c = c.wrapping_add(bytes.len() as u32).wrapping_add(part(8, 11) << 8);
    mix(a.wrapping_add(part(0, 4)), b.wrapping_add(part(4, 8)), c)[2]
}

fn binary(bytes: &[u8], before: u32) -> u32 {
    let start = BINARY.wrapping_add(before);
    if bytes.is_empty() { start } else { hash_bytes(bytes, start) }
}

/// The hash of one string.
pub(super) fn string(bytes: &[u8]) -> u32 {
    binary(bytes, 0) & RANGE_MASK
}

/// The hash of a list of strings.
pub(super) fn strings<'a>(all: impl Iterator<Item = &'a str>) -> u32 {
    let hash = all.fold(0, |before, text| binary(text.as_bytes(), before));
    mix(ATOM.wrapping_add(EMPTY_LIST), ATOM, hash)[2] & RANGE_MASK
}

/// The hash of a floating-point number; both zeros are one.
pub(super) fn float(number: f64) -> u32 {
    let bits = (number + 0.0).to_bits();
    let (high, low) = ((bits >> 32) as u32, bits as u32);
    mix(FLOAT.wrapping_add(high), FLOAT.wrapping_add(low), 0)[2] & RANGE_MASK
}

/// The xorshift1024* generator, seeded as Erlang does from one number three times.
struct Generator {
    state: [u64; 16],
    at: usize,
}

impl Generator {
    fn new(key: u64) -> Self {
        const PART: u64 = (1 << 21) - 1;
        let part = |prime: u64| ((key & PART) + 1).wrapping_mul(prime) & PART;
        let mut seed = part(2_097_131) << 43 | part(2_097_133) << 22 | part(2_097_143) << 1 | 1;
        let mut state = [0; 16];
        for place in state.iter_mut().rev() {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            *place = seed.wrapping_mul(2_685_821_657_736_338_717);
        }
        Self { state, at: 0 }
    }

    /// The next number in 0..=1.
    fn next(&mut self) -> f64 {
        let first = self.state[self.at];
        self.at = (self.at + 1) % self.state.len();
        let second = &mut self.state[self.at];
        let mut mixed = *second ^ (*second << 31);
        mixed ^= mixed >> 11;
        *second = first ^ (first >> 30) ^ mixed;
        let number = second.wrapping_mul(1_181_783_497_276_652_981);
        number as f64 / 18_446_744_073_709_551_616.0
    }
}

/// The bucket of `key` among `buckets`, which are at least one: each gets the same share of keys,
/// and one bucket more takes its share from all others and moves nothing between them.
pub(super) fn jump(key: u64, buckets: u64) -> u64 {
    let mut generator = Generator::new(key);
    let (mut bucket, mut next) = (0, 0);
    while next < buckets && buckets > 1 {
        bucket = next;
        // A division by zero is infinite, and that is the largest number.
        next = ((bucket + 1) as f64 / generator.next()) as u64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `erlang:phash2/1` and `/2` of Erlang/OTP 25.
    #[test]
    fn hashes_are_those_of_erlang() {
        let texts = ["", "a", "ab", "abcdefghijkl", "abcdefghijklm", "order.1234567890.created.eu"];
        let alone = [147_926_629, 1_589_197_455, 261_815_530, 686_521_495, 3_501_102_500_u32];
        let listed = [440_873_397, 3_543_352_798, 3_573_837_310, 3_176_216_688, 1_435_586_393];
        let with_z = [415_243_831, 3_195_702_200, 2_607_590_218, 937_784_791, 1_702_536_333_u32];
        for (index, text) in texts.iter().enumerate().take(5) {
            assert_eq!(binary(text.as_bytes(), 0), alone[index]);
            assert_eq!(strings([*text].into_iter()), listed[index] & RANGE_MASK);
            assert_eq!(strings([*text, "z"].into_iter()), with_z[index] & RANGE_MASK);
        }
        assert_eq!(binary(texts[5].as_bytes(), 0), 2_452_271_601);
        assert_eq!(strings(std::iter::empty()), 113_427_502);
        let floats = [(1.5, 2_023_646_235), (0.0, 423_528_920), (3.25e10, 3_646_451_409_u32)];
        for (number, hash) in floats {
            assert_eq!(float(number), hash & RANGE_MASK, "{number}");
        }
        assert_eq!(float(-0.0), float(0.0));
    }

    /// As the plugin computes it, on Erlang/OTP 25.
    #[test]
    fn jumps_are_those_of_the_plugin() {
        let of_10 = [4, 3, 9, 7, 3, 4, 4, 8, 1, 6, 6, 5, 2, 3, 5, 0, 6, 2, 2, 0, 1, 9, 6, 9, 4];
        for (key, bucket) in of_10.into_iter().enumerate() {
            assert_eq!(jump(key as u64, 10), bucket, "{key}");
        }
        let of_1000 = [807, 16, 849, 141, 100, 781, 28, 783, 928, 236, 683, 93, 677, 206, 847, 842];
        for (key, bucket) in of_1000.into_iter().enumerate() {
            assert_eq!(jump(key as u64 * 7919, 1000), bucket, "{key}");
        }
        let odd = [(-1_i64, 6), (-5, 2), (134_217_727, 6), (1 << 40, 4), (i64::MIN, 4)];
        for (key, bucket) in odd {
            assert_eq!(jump(key as u64, 10), bucket, "{key}");
        }
        assert_eq!(jump(7, 1), 0);
    }
}
