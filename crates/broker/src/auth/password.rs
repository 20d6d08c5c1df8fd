//! Passwords: how they are stored, checked and read from RabbitMQ's definitions.
//!
//! Invariants: a comparison takes the same time wherever the difference is; nothing here prints a
//! password or its hash, except [`PasswordHash::export`], which is asked for it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Bytes that are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes what must not be seen.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// What it is.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a hash of argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// OWASP's recommendation (Password Storage Cheat Sheet).
    pub const RECOMMENDED: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// The least that the algorithm takes: for tests.
    pub const LEAST: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };
    /// The most that a definitions file may ask for.
    const MOST: Self = Self { memory_kib: 262_144, passes: 16, lanes: 16 };

    /// Whether a hash of this cost is to be replaced by one of `wanted`.
    fn is_below(self, wanted: Self) -> bool {
        u64::from(self.memory_kib) * u64::from(self.passes)
            < u64::from(wanted.memory_kib) * u64::from(wanted.passes)
    }

    fn is_affordable(self) -> bool {
        self.memory_kib <= Self::MOST.memory_kib
            && self.passes <= Self::MOST.passes
            && self.lanes <= Self::MOST.lanes
    }
}

/// The digests of RabbitMQ: one round over four bytes of salt and the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Algo {
    Sha256,
    Sha512,
    Md5,
}

const SALTED: [(&str, Algo, usize); 3] = [
    ("rabbit_password_hashing_sha256", Algo::Sha256, 32),
    ("rabbit_password_hashing_sha512", Algo::Sha512, 64),
    ("rabbit_password_hashing_md5", Algo::Md5, 16),
];
/// The name in definitions of a hash that RabbitMQ does not know.
const ARGON2ID: &str = "leveret_argon2id";

/// The password of the first user where nothing else is configured, which everybody knows.
const KNOWN_PASSWORD: &[u8] = b"guest";
/// Its hash at [`Cost::RECOMMENDED`]. What is no secret needs no hash of its own, and a start and
/// the first login would wait for one: half of all that a start takes.
const KNOWN_HASH: Stored = Stored::Argon2id {
    cost: Cost::RECOMMENDED,
    salt: *b"no secret at all",
    hash: [
        0xd4, 0x6b, 0x85, 0xd9, 0x96, 0x97, 0x96, 0xba, 0x1a, 0xcb, 0xba, 0x85, 0x04, 0xb4, 0x2f,
        0x2e, 0x0e, 0x7a, 0xd8, 0xbc, 0xc5, 0xdf, 0x3b, 0x73, 0x50, 0xd1, 0x92, 0x52, 0x30, 0x1e,
        0xc6, 0xa6,
    ],
};
/// How long the hash is.
const ARGON2ID_BYTES: usize = 32;

impl Algo {
    fn hash(self, salt: [u8; 4], password: &[u8]) -> Vec<u8> {
        fn digest<D: Digest>(salt: [u8; 4], password: &[u8]) -> Vec<u8> {
            D::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        match self {
            Self::Sha256 => digest::<Sha256>(salt, password),
            Self::Sha512 => digest::<Sha512>(salt, password),
            Self::Md5 => digest::<Md5>(salt, password),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Stored {
    None,
    Argon2id { cost: Cost, salt: [u8; 16], hash: [u8; ARGON2ID_BYTES] },
    Salted { algorithm: Algo, salt: [u8; 4], hash: Vec<u8> },
}

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(Stored);

/// Why something is no password hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The algorithm's name means nothing here.
    #[error("hashing algorithm {0} is not known; {known} and {ARGON2ID} are",
            known = SALTED.map(|(name, ..)| name).join(", "))]
    UnknownAlgorithm(String),
    /// Not base64 of a salt and a hash of the algorithm's length.
    #[error("password_hash is not base64 of 4 bytes of salt and a hash of {0} bytes")]
    NotSalted(usize),
    /// Not of the form `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, or too expensive.
    #[error(
        "password_hash is not argon2id's $argon2id$v=19$m=…,t=…,p=…$salt$hash, or above the \
             largest cost"
    )]
    NotArgon2id,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.algorithm())
    }
}

fn argon2id(cost: Cost, salt: &[u8; 16], password: &[u8]) -> Option<[u8; ARGON2ID_BYTES]> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(ARGON2ID_BYTES));
    let mut hash = [0; ARGON2ID_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.ok()?)
        .hash_password_into(password, salt, &mut hash)
        .ok()?;
    Some(hash)
}

impl PasswordHash {
    /// No password: nobody can log in with one.
    pub const NONE: Self = Self(Stored::None);

    /// Hashes a password, which takes as long as `cost` says; an empty one is none.
    pub fn new(password: &[u8], cost: Cost, salt: [u8; 16]) -> Self {
        match argon2id(cost, &salt, password) {
            Some(hash) if !password.is_empty() => Self(Stored::Argon2id { cost, salt, hash }),
            _ => Self::NONE,
        }
    }

    /// RabbitMQ's default: one round of SHA-256 over some of the salt and the password.
    pub(crate) fn salted(password: &[u8], salt: [u8; 16]) -> Self {
        let salt = [salt[0], salt[1], salt[2], salt[3]];
        let hash = Algo::Sha256.hash(salt, password);
        Self(Stored::Salted { algorithm: Algo::Sha256, salt, hash })
    }

    /// The hash of the password that everybody knows, at once; none of any other, or at another
    /// cost.
    pub(crate) fn known(password: &[u8], cost: Cost) -> Option<Self> {
        (password == KNOWN_PASSWORD && cost == Cost::RECOMMENDED).then_some(Self(KNOWN_HASH))
    }

    /// One round of SHA-256, as earlier versions stored it.
    pub(crate) fn sha256(salt: [u8; 4], hash: [u8; 32]) -> Self {
        Self(Stored::Salted { algorithm: Algo::Sha256, salt, hash: hash.to_vec() })
    }

    /// Reads a hash of a definitions file. Without a name, the algorithm is the one of RabbitMQ's
    /// whose hashes are so long, else SHA-256. An empty hash is no password.
    pub fn import(algorithm: Option<&str>, hash: &str) -> Result<Self, HashError> {
        if hash.is_empty() {
            return Ok(Self::NONE);
        }
        let bytes = STANDARD.decode(hash).unwrap_or_default();
        let fits = |(_, _, length): &&(&str, Algo, usize)| length + 4 == bytes.len();
        let by_length = SALTED.iter().find(fits).unwrap_or(&SALTED[0]).0;
        let name = algorithm.unwrap_or(by_length);
        if name == ARGON2ID {
            return Self::from_phc(hash).ok_or(HashError::NotArgon2id);
        }
        let (_, algorithm, length) = SALTED
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or_else(|| HashError::UnknownAlgorithm(name.to_owned()))?;
        match bytes.split_first_chunk::<4>() {
            Some((salt, hash)) if hash.len() == length => {
                Ok(Self(Stored::Salted { algorithm, salt: *salt, hash: hash.to_vec() }))
            }
            _ => Err(HashError::NotSalted(length)),
        }
    }

    fn from_phc(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut params = parts.next()?.split(',');
        let mut number = |name: &str| params.next()?.strip_prefix(name)?.parse::<u32>().ok();
        let cost = Cost { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
        let mut bytes = || STANDARD_NO_PAD.decode(parts.next()?).ok();
        let (salt, hash) = (bytes()?.try_into().ok()?, bytes()?.try_into().ok()?);
        Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(ARGON2ID_BYTES)).ok()?;
        let whole = parts.next().is_none() && cost.is_affordable();
        whole.then_some(Self(Stored::Argon2id { cost, salt, hash }))
    }

    /// `hashing_algorithm` and `password_hash` for a definitions file.
    pub fn export(&self) -> (&'static str, String) {
        let text = match &self.0 {
            Stored::None => String::new(),
            Stored::Salted { salt, hash, .. } => STANDARD.encode([&salt[..], hash].concat()),
            Stored::Argon2id { cost: Cost { memory_kib, passes, lanes }, salt, hash } => format!(
                "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}",
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(hash)
            ),
        };
        let name = match &self.0 {
            Stored::None => SALTED[0].0,
            _ => self.algorithm(),
        };
        (name, text)
    }

    /// The algorithm's name, as definitions have it.
    pub fn algorithm(&self) -> &'static str {
        match &self.0 {
            Stored::None => "none",
            Stored::Argon2id { .. } => ARGON2ID,
            Stored::Salted { algorithm, .. } => SALTED
                .iter()
                .find(|(_, known, _)| known == algorithm)
                .map_or("unknown", |(name, ..)| name),
        }
    }

    /// Whether anybody can log in with a password.
    pub fn is_none(&self) -> bool {
        self.0 == Stored::None
    }

    /// Whether a hash of `wanted` would be stronger.
    pub fn is_weaker_than(&self, wanted: Cost) -> bool {
        match &self.0 {
            Stored::None => false,
            Stored::Argon2id { cost, .. } => cost.is_below(wanted),
            Stored::Salted { .. } => true,
        }
    }

    /// Whether `password` is the one. Takes at least as long as a hash of `cost`, whatever is
    /// stored, so that the time tells nothing about it, unless it is the one that everybody knows.
    /// An empty password never is.
    pub fn verify(&self, password: &[u8], cost: Cost) -> bool {
        if password.is_empty() {
            return false;
        }
        if password == KNOWN_PASSWORD && self.0 == KNOWN_HASH {
            return true;
        }
        match &self.0 {
            Stored::Argon2id { cost, salt, hash } => {
                argon2id(*cost, salt, password).is_some_and(|found| bool::from(found.ct_eq(hash)))
            }
            Stored::Salted { algorithm, salt, hash } => {
                std::hint::black_box(argon2id(cost, &[0; 16], password));
                algorithm.hash(*salt, password).ct_eq(hash).into()
            }
            Stored::None => {
                std::hint::black_box(argon2id(cost, &[0; 16], password));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost::LEAST;

    #[test]
    fn each_algorithm_of_rabbitmq_is_read_verified_and_written_back() {
        for (name, algorithm, _) in SALTED {
            let salt = [1, 2, 3, 4];
            let hash = [&salt[..], &algorithm.hash(salt, b"secret")].concat();
            let text = STANDARD.encode(hash);
            let read = PasswordHash::import(Some(name), &text).unwrap();
            assert!(read.verify(b"secret", CHEAP) && !read.verify(b"Secret", CHEAP), "{name}");
            assert!(!read.verify(b"", CHEAP));
            assert_eq!(read.export(), (name, text));
            assert!(read.is_weaker_than(CHEAP));
        }
        // RabbitMQ's documentation of password hashing gives this one, of "test12".
        let known = PasswordHash::import(None, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        assert!(known.unwrap().verify(b"test12", CHEAP));
    }

    #[test]
    fn an_argon2id_hash_is_read_as_it_was_written() {
        let hash = PasswordHash::new(b"secret", CHEAP, [7; 16]);
        let (name, text) = hash.export();
        assert!(text.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{text}");
        assert_eq!(PasswordHash::import(Some(name), &text), Ok(hash.clone()));
        assert!(hash.verify(b"secret", CHEAP) && !hash.verify(b"secre", CHEAP));
        assert!(!hash.is_weaker_than(CHEAP) && hash.is_weaker_than(Cost::RECOMMENDED));
        for wrong in [
            "x",
            "$argon2id$v=19$m=8,t=1$a$b",
            &format!("{text}$"),
            &text.replace("m=8", "m=9999999"),
        ] {
            let read = PasswordHash::import(Some(name), wrong);
            assert_eq!(read, Err(HashError::NotArgon2id), "{wrong}");
        }
    }

    #[test]
    fn the_known_hash_is_that_of_the_known_password() {
        let Stored::Argon2id { cost, salt, .. } = KNOWN_HASH else { panic!("another algorithm") };
        assert_eq!(PasswordHash::new(KNOWN_PASSWORD, cost, salt), PasswordHash(KNOWN_HASH));
        let known = PasswordHash::known(KNOWN_PASSWORD, cost).unwrap();
        assert_eq!(known, PasswordHash(KNOWN_HASH));
        assert!(known.verify(b"guest", cost) && !known.verify(b"Guest", cost));
        let (algorithm, text) = known.export();
        assert_eq!(PasswordHash::import(Some(algorithm), &text), Ok(known));
        for (password, cost) in [(b"guesT", cost), (b"guest", CHEAP)] {
            assert_eq!(PasswordHash::known(password, cost), None);
        }
    }

    #[test]
    fn nobody_gets_in_without_a_password() {
        // CVE-2016-9877: a user name and nothing else.
        for none in [PasswordHash::NONE, PasswordHash::new(b"", CHEAP, [1; 16])] {
            assert!(none.is_none() && !none.verify(b"", CHEAP) && !none.verify(b"x", CHEAP));
        }
        let empty = STANDARD.encode([&[0; 4][..], &Algo::Sha256.hash([0; 4], b"")].concat());
        let empty = PasswordHash::import(None, &empty).unwrap();
        assert!(!empty.verify(b"", CHEAP), "the hash of the empty password");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let hash = PasswordHash::new(b"secret", CHEAP, [7; 16]);
        assert_eq!(format!("{hash:?}"), "PasswordHash(leveret_argon2id)");
        assert_eq!(format!("{:?}", Secret::new(*b"secret")), "(secret)");
    }

    #[test]
    fn what_is_no_hash_is_refused_with_the_reason() {
        let read = |name, hash| PasswordHash::import(Some(name), hash).unwrap_err().to_string();
        assert!(read("bcrypt", "x").starts_with("hashing algorithm bcrypt is not known"));
        assert!(read("rabbit_password_hashing_md5", "AAAA").ends_with("a hash of 16 bytes"));
        assert!(read("rabbit_password_hashing_sha256", "%").ends_with("a hash of 32 bytes"));
    }
}
