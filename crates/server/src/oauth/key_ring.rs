//! The keys that tokens are signed with, as they were last read from their sources.
//!
//! Invariants: sources are read at most every [`PAUSE_MS`], however many tokens name keys that are
//! not known; a key that its source has withdrawn counts for [`STALE_MS`] at most while the source
//! answers; keys read for other settings never count, nor do tokens that were good by keys that are
//! not the newest.

use std::collections::HashMap;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use leveret_broker::auth::Secret;
use leveret_broker::ids::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::remembered::Remembered;
use super::{Bearer, Fault, OAuthOptions, SigningAlgorithm, TOKEN_MAX, Token, sources};

/// The shortest time between two readings, in milliseconds.
const PAUSE_MS: u64 = 10_000;
/// After this time the sources are read again, in milliseconds.
const STALE_MS: u64 = 600_000;
/// Most keys of a source.
const KEYS_MAX: usize = 256;

/// A key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) key: DecodingKey,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<SigningAlgorithm>,
}

impl Key {
    /// None if it is not for signatures, or of a kind that we do not know.
    fn new(jwk: &Jwk, secrets: bool) -> Option<Self> {
        let common = &jwk.common;
        let other_use = |found: &PublicKeyUse| *found != PublicKeyUse::Signature;
        if common.public_key_use.as_ref().is_some_and(other_use) {
            return None;
        }
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) && !secrets {
            return None;
        }
        let algorithm = match common.key_algorithm {
            Some(name) => Some(SigningAlgorithm::from_str(&name.to_string()).ok()?),
            None => None,
        };
        Some(Self { key: DecodingKey::from_jwk(jwk).ok()?, algorithm })
    }

    /// Whether it may be used so. That its kind fits is checked with the signature, too.
    pub(super) fn allows(&self, algorithm: SigningAlgorithm) -> bool {
        algorithm.family() == self.key.family()
            && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// Keys by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    /// Those without an id have the empty one.
    by_id: HashMap<String, Key>,
}

impl Keys {
    /// Reads a JWK set (RFC 7517); with `secrets`, also keys of HMAC. What is no key that we could
    /// use is passed over.
    pub(super) fn parse(document: &[u8], secrets: bool) -> Result<Self, String> {
        let parsed: Value = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        let Some(list) = parsed.get("keys").and_then(Value::as_array) else {
            return Err("this is no JSON Web Key Set: there is no list of keys".to_owned());
        };
        if list.len() > KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys"));
        }
        let mut by_id = HashMap::new();
        for jwk in list.iter().filter_map(|one| serde_json::from_value::<Jwk>(one.clone()).ok()) {
            if let Some(key) = Key::new(&jwk, secrets) {
                by_id.insert(jwk.common.key_id.unwrap_or_default(), key);
            }
        }
        Ok(Self { by_id })
    }

    /// The key of that id; without an id, the only one that there is.
    pub(super) fn find(&self, id: Option<&str>) -> Result<&Key, Fault> {
        let found = match id {
            Some(id) => self.by_id.get(id),
            None if self.by_id.len() == 1 => self.by_id.values().next(),
            None => None,
        };
        found.ok_or(Fault::UnknownKey)
    }
}

#[derive(Default)]
struct Ring {
    /// What it was read for.
    options: Option<Arc<OAuthOptions>>,
    from_file: Keys,
    from_web: Keys,
    /// Both; where an id is in both, the file's.
    keys: Arc<Keys>,
    /// When the sources were asked last; none if they never were for these settings.
    asked_at: Option<Timestamp>,
    /// Tokens that were good by `keys`.
    remembered: Remembered,
}

impl Ring {
    /// Forgets what was read for other settings; asks anew if the same ones were read again.
    fn turn_to(&mut self, options: &Arc<OAuthOptions>) {
        match &self.options {
            Some(own) if Arc::ptr_eq(own, options) => return,
            Some(own) if **own == **options => self.asked_at = None,
            _ => *self = Self::default(),
        }
        self.options = Some(Arc::clone(options));
    }

    fn is_due(&self, after_ms: u64, now: Timestamp) -> bool {
        self.asked_at.is_none_or(|at| at.after(after_ms) <= now)
    }

    fn is_for(&self, options: &Arc<OAuthOptions>) -> bool {
        self.options.as_ref().is_some_and(|own| Arc::ptr_eq(own, options))
    }

    fn join(&mut self) {
        let mut by_id = self.from_web.by_id.clone();
        by_id.extend(self.from_file.by_id.clone());
        self.keys = Arc::new(Keys { by_id });
        self.remembered.forget();
    }
}

/// What a look at a token comes to.
#[derive(Debug)]
pub(crate) enum Looked {
    /// It is good, or it is not.
    Done(Result<Arc<Bearer>, Fault>),
    /// First the sources are to be asked, by [`KeyRing::refresh`].
    NeedsKeys,
}

/// The keys of a server.
pub(crate) struct KeyRing {
    /// What hashes of tokens are keyed with.
    secret: [u8; 32],
    ring: Mutex<Ring>,
    /// Held by who asks the sources.
    reading: tokio::sync::Mutex<()>,
}

impl Default for KeyRing {
    fn default() -> Self {
        let mut secret = [0; 32];
        // Without chance hashes could be guessed at, not read: the tokens are not in them.
        let _ = getrandom::fill(&mut secret);
        Self { secret, ring: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }
}

impl KeyRing {
    /// Takes a token as it was shown, if it is not too long.
    pub(crate) fn token(&self, secret: Secret) -> Result<Token, Fault> {
        if secret.reveal().len() > TOKEN_MAX {
            return Err(Fault::TooLong);
        }
        let digest = Sha256::new().chain_update(self.secret).chain_update(secret.reveal());
        Ok(Token { secret, hash: digest.finalize().into() })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token this is, if it was good before and nothing has changed. It is cheap.
    pub(crate) fn recall(
        &self,
        token: &Token,
        options: &Arc<OAuthOptions>,
        now: Timestamp,
    ) -> Option<Arc<Bearer>> {
        let mut ring = self.ring();
        ring.turn_to(options);
        match ring.is_due(STALE_MS, now) {
            true => None,
            false => ring.remembered.find(token, now),
        }
    }

    /// Whose token this is, if it is good and by a key that is known.
    pub(crate) fn verify(
        &self,
        token: &Token,
        options: &Arc<OAuthOptions>,
        now: Timestamp,
    ) -> Result<Arc<Bearer>, Fault> {
        let mut ring = self.ring();
        ring.turn_to(options);
        let keys = Arc::clone(&ring.keys);
        drop(ring);
        let bearer = Arc::new(super::verify(token.secret.reveal(), &keys, options, now)?);
        let mut ring = self.ring();
        // Keys or settings may have changed meanwhile.
        if ring.is_for(options) && Arc::ptr_eq(&ring.keys, &keys) {
            ring.remembered.put(token, &bearer, now);
        }
        Ok(bearer)
    }

    /// The same, unless the sources are to be asked first.
    pub(crate) fn look(
        &self,
        token: &Token,
        options: &Arc<OAuthOptions>,
        now: Timestamp,
    ) -> Looked {
        let looked = self.verify(token, options, now);
        let patience = match looked {
            Err(Fault::UnknownKey) => PAUSE_MS,
            // What nobody signed moves nothing.
            Err(_) => return Looked::Done(looked),
            Ok(_) => STALE_MS,
        };
        // Keys that are just being read may have it.
        let comes = looked.is_err() && self.reading.try_lock().is_err();
        if comes || self.ring().is_due(patience, now) {
            return Looked::NeedsKeys;
        }
        Looked::Done(looked)
    }

    /// Whether the sources may be asked; then they count as asked.
    fn take_turn(&self, options: &Arc<OAuthOptions>, now: Timestamp) -> bool {
        let mut ring = self.ring();
        ring.turn_to(options);
        let free = ring.is_due(PAUSE_MS, now);
        if free {
            ring.asked_at = Some(now);
        }
        free
    }

    /// Takes what a source has said; if it could not, what it said last stays.
    fn put(
        &self,
        options: &Arc<OAuthOptions>,
        read: io::Result<Keys>,
        place: impl FnOnce(&mut Ring) -> &mut Keys,
    ) {
        let mut ring = self.ring();
        match read {
            Ok(keys) if ring.is_for(options) => {
                tracing::debug!(keys = keys.by_id.len(), "keys for tokens were read");
                *place(&mut ring) = keys;
                ring.join();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot read the keys for tokens"),
        }
    }

    fn read_file(&self, options: &Arc<OAuthOptions>) {
        if let Some(path) = &options.jwks_file {
            self.put(options, sources::from_file(path), |ring| &mut ring.from_file);
        }
    }

    /// Asks the sources, unless they were asked a moment ago; if somebody else is asking them,
    /// waits for the end of that.
    pub(crate) async fn refresh(&self, options: &Arc<OAuthOptions>, now: Timestamp) {
        let _reading = self.reading.lock().await;
        if !self.take_turn(options, now) {
            return;
        }
        self.read_file(options);
        if let Some(read) = sources::from_web(options).await.transpose() {
            self.put(options, read, |ring| &mut ring.from_web);
        }
    }

    /// The same without a runtime: only the file.
    pub(crate) fn refresh_file(&self, options: &Arc<OAuthOptions>, now: Timestamp) {
        if self.take_turn(options, now) {
            self.read_file(options);
        }
    }
}
