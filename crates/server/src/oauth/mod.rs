//! OAuth 2: logins by a bearer token (a JWT, RFC 7519) instead of a password.
//!
//! [`verify`] says whether a token is good, and whose it is: its signature by a key of
//! [`KeyRing`], its claims by [`claims`]. Where the keys come from is [`sources`]' matter, over
//! HTTP [`crate::web_client`]'s.
//!
//! Invariants: only the algorithms that are allowed, and only with a key of their own kind; every
//! token has an end and a bound ([`TOKEN_MAX`]); what is refused says nothing of the token; nothing
//! here blocks for a network.

mod claims;
mod key_ring;
mod options;
mod remembered;
mod sources;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Header, Validation};
use leveret_broker::auth::{Scopes, Secret};
use leveret_broker::ids::{Name, Timestamp};
use serde_json::{Map, Value};

pub use jsonwebtoken::Algorithm as SigningAlgorithm;
pub use options::{InvalidAddress, OAuthOptions, WebAddress};

use key_ring::Keys;
pub(crate) use key_ring::{KeyRing, Looked};

/// The longest token that is looked at, in bytes.
const TOKEN_MAX: usize = 64 * 1024;

/// By which a token is known to be the same: nothing of it can be told from this.
pub(crate) type TokenHash = [u8; 32];

/// A token as it was shown.
#[derive(Debug)]
pub(crate) struct Token {
    secret: Secret,
    hash: TokenHash,
}

impl Token {
    pub(crate) fn hash(&self) -> TokenHash {
        self.hash
    }
}

/// Who has shown a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) user: Name,
    /// All that the token lets its bearer do.
    pub(crate) scopes: Arc<Scopes>,
    pub(crate) expires_at: Timestamp,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotConfigured,
    Malformed,
    TooLong,
    Algorithm,
    UnknownKey,
    Signature,
    NoExpiry,
    Expired,
    NotYet,
    Audience,
    Issuer,
    NoUser,
    TooManyScopes,
}

impl Fault {
    /// For the log: nothing of the token is in it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotConfigured => "tokens are not accepted",
            Self::Malformed => "the token is malformed",
            Self::TooLong => "the token is too long",
            Self::Algorithm => "the token is not signed by an algorithm that is allowed",
            Self::UnknownKey => "the token is signed by a key that is not known",
            Self::Signature => "the token's signature is wrong",
            Self::NoExpiry => "the token has no expiry",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Issuer => "the token is of another issuer",
            Self::NoUser => "the token names no user",
            Self::TooManyScopes => "the token has too many scopes",
        }
    }
}

/// Whether a password is a token: three parts in base64url, the first of which is a JSON object
/// that names an algorithm.
pub(crate) fn is_token(password: &[u8]) -> bool {
    let mut parts = password.split(|byte| *byte == b'.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let header = URL_SAFE_NO_PAD.decode(&header[..header.len().min(TOKEN_MAX)]);
    let header = header.ok().and_then(|json| serde_json::from_slice::<Map<_, Value>>(&json).ok());
    header.is_some_and(|header| header.contains_key("alg"))
}

fn header(token: &[u8]) -> Result<Header, Fault> {
    match jsonwebtoken::decode_header(token) {
        // What must be understood is not.
        Ok(header) if header.crit.is_some() || header.enc.is_some() => Err(Fault::Malformed),
        Ok(header) => Ok(header),
        // `none`, or one that does not exist.
        Err(_) if is_token(token) => Err(Fault::Algorithm),
        Err(_) => Err(Fault::Malformed),
    }
}

/// Checks the signature; the claims that it covers.
fn signed_claims(
    token: &[u8],
    header: &Header,
    key: &DecodingKey,
) -> Result<Map<String, Value>, Fault> {
    let mut validation = Validation::new(header.alg);
    // The claims are looked at by our clock, and by RabbitMQ's rules.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode(token, key, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Fault::Signature,
            _ => Fault::Malformed,
        }),
    }
}

/// Whose token this is, if it is good. Takes as long as a signature does to check.
fn verify(
    token: &[u8],
    keys: &Keys,
    options: &OAuthOptions,
    now: Timestamp,
) -> Result<Bearer, Fault> {
    let header = header(token)?;
    if !options.algorithms.contains(&header.alg) {
        return Err(Fault::Algorithm);
    }
    let key = keys.find(header.kid.as_deref().or(options.default_key.as_deref()))?;
    if !key.allows(header.alg) {
        return Err(Fault::Algorithm);
    }
    let claims = signed_claims(token, &header, &key.key)?;
    claims::bearer(&claims, options, now)
}
