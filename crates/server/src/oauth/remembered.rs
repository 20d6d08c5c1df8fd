//! Good tokens that were shown before: who comes back, or shares a token with a thousand others,
//! costs one check of a signature.
//!
//! Invariants: a token is known by its keyed hash, nothing of its text is kept; none counts beyond
//! its end; all are forgotten when the keys change ([`super::KeyRing`] sees to it); the tokens that
//! are remembered are [`BYTES_MAX`] long together.

use std::collections::HashMap;
use std::sync::Arc;

use leveret_broker::ids::Timestamp;

use super::{Bearer, Token, TokenHash};

/// How long all tokens are that are remembered, in bytes. Their scopes take a few times as much.
const BYTES_MAX: usize = 8 << 20;
/// What each counts as beside its length, in bytes.
const ENTRY_BYTES: usize = 256;

/// What is known of the tokens that were good.
#[derive(Default)]
pub(super) struct Remembered {
    bearers: HashMap<TokenHash, (Arc<Bearer>, usize)>,
    bytes: usize,
}

impl Remembered {
    /// Whose the token is, if it was good and has not expired.
    pub(super) fn find(&self, token: &Token, now: Timestamp) -> Option<Arc<Bearer>> {
        let (bearer, _) = self.bearers.get(&token.hash)?;
        (now < bearer.expires_at).then(|| Arc::clone(bearer))
    }

    /// Remembers a good token.
    pub(super) fn put(&mut self, token: &Token, bearer: &Arc<Bearer>, now: Timestamp) {
        let bytes = token.secret.reveal().len() + ENTRY_BYTES;
        if self.bytes + bytes > BYTES_MAX {
            self.bearers.retain(|_, (bearer, _)| now < bearer.expires_at);
            self.bytes = self.bearers.values().map(|(_, bytes)| bytes).sum();
        }
        if self.bytes + bytes > BYTES_MAX {
            self.forget();
        }
        let before = self.bearers.insert(token.hash, (Arc::clone(bearer), bytes));
        self.bytes += bytes;
        self.bytes -= before.map_or(0, |(_, bytes)| bytes);
    }

    pub(super) fn forget(&mut self) {
        self.bearers.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use leveret_broker::auth::Secret;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn token(number: usize) -> Token {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        Token { secret: Secret::new([b'a'; 1 << 16]), hash }
    }

    fn bearer(expires_at: Timestamp) -> Arc<Bearer> {
        Arc::new(Bearer { user: "shop".into(), scopes: Arc::default(), expires_at })
    }

    #[test]
    fn what_is_remembered_has_an_end_and_a_bound() {
        let mut remembered = Remembered::default();
        for number in 0..1_000 {
            for _ in 0..2 {
                remembered.put(&token(number), &bearer(NOW.after(10)), NOW);
            }
            let counted: usize = remembered.bearers.values().map(|(_, bytes)| bytes).sum();
            assert!(counted == remembered.bytes && counted <= BYTES_MAX);
            assert!(remembered.find(&token(number), NOW.after(9)).is_some());
            assert!(remembered.find(&token(number), NOW.after(10)).is_none());
        }
        assert!(remembered.bearers.len() > 1);
        let later = NOW.after(11);
        remembered.put(&token(5_000), &bearer(later.after(1)), later);
        for number in 5_001..5_100 {
            remembered.put(&token(number), &bearer(later.after(1)), later);
        }
        assert!(remembered.find(&token(5_000), later).is_some(), "what has expired goes first");
    }
}
