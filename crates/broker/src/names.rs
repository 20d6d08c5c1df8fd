//! Names that the server makes up: unguessable, and repeatable for a given seed.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes tokens of 22 characters (128 bits) from a secret seed and a counter.
#[derive(Debug)]
pub struct Tokens {
    seed: [u8; 32],
    next: AtomicU64,
}

impl Tokens {
    /// Tokens from `seed`, which must be secret and random outside of tests.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// The next 128 unguessable bits.
    pub fn bits(&self) -> [u8; 16] {
        let counter = self.next.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::new().chain_update(self.seed).chain_update(counter.to_le_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest.finalize()[..16]);
        bits
    }

    /// `prefix` and a token behind it, as RabbitMQ names queues (`amq.gen-…`) and consumers.
    pub fn name(&self, prefix: &str) -> String {
        let mut name = String::with_capacity(prefix.len() + 22);
        name.push_str(prefix);
        let bits = u128::from_be_bytes(self.bits());
        for place in 0..22 {
            let index = (bits >> (place * 6)) & 63;
            name.push(char::from(ALPHABET[index as usize]));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_repeat_with_the_seed() {
        let (one, two) = (Tokens::new([1; 32]), Tokens::new([1; 32]));
        let first = one.name("amq.gen-");
        assert_eq!(first, two.name("amq.gen-"));
        assert_ne!(first, one.name("amq.gen-"));
        assert_eq!(first.len(), "amq.gen-".len() + 22);
    }
}
