//! A user and the check of a password.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::Name;

/// A user with a salted SHA-256 hash (RabbitMQ's default password hashing).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login.
    pub name: Name,
    salt: [u8; 4],
    hash: [u8; 32],
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

fn hash(salt: [u8; 4], password: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

impl User {
    /// A user whose password is stored as a hash with `salt`.
    pub fn new(name: Name, password: &str, salt: [u8; 4]) -> Self {
        Self { name, salt, hash: hash(salt, password.as_bytes()) }
    }

    /// A user whose password is known by its salt, 4 bytes, with the hash behind it; none if those
    /// are not 36 bytes.
    pub fn hashed(name: Name, salt_and_hash: &[u8]) -> Option<Self> {
        let (salt, hash) = salt_and_hash.split_at_checked(4)?;
        Some(Self { name, salt: salt.try_into().ok()?, hash: hash.try_into().ok()? })
    }

    /// Whether `password` is this user's; takes the same time for every wrong one.
    pub fn verify(&self, password: &[u8]) -> bool {
        hash(self.salt, password).ct_eq(&self.hash).into()
    }
}
