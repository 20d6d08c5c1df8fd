//! What the configuration says of tokens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;

use super::SigningAlgorithm;

/// What is no address of a web page that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as https://host/path, without a user")]
pub struct InvalidAddress;

/// An address that begins with `https://` or `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(pub(crate) Uri);

impl WebAddress {
    /// Whether what comes from there is protected by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for WebAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidAddress)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let after = &authority[uri.host().map_or(0, str::len).min(authority.len())..];
        // A port may be left out after its colon, but not be something else.
        let port = after.len() <= 1 || uri.port_u16().is_some();
        (known && host && port && !authority.contains('@'))
            .then_some(Self(uri))
            .ok_or(InvalidAddress)
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The settings of logins by token.
#[derive(Debug, Clone, PartialEq)]
pub struct OAuthOptions {
    /// What a token's audience must have in it, and what its scopes begin with.
    pub resource_server_id: String,
    /// What scopes begin with, if not the id and a point.
    pub scope_prefix: Option<String>,
    /// Who must have issued a token. Without another source, keys are found by its discovery
    /// document.
    pub issuer: Option<String>,
    /// Where keys are fetched.
    pub jwks_url: Option<WebAddress>,
    /// A file with keys.
    pub jwks_file: Option<PathBuf>,
    /// Whose certificates are trusted when keys are fetched; without it, the system's.
    pub authorities: Option<PathBuf>,
    /// The id of the key for tokens that name none.
    pub default_key: Option<String>,
    /// Whether the audience is looked at.
    pub verify_audience: bool,
    /// The algorithms that are allowed.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claims that name the user, ahead of `sub` and `client_id`.
    pub username_claims: Vec<String>,
    /// Further claims with scopes: paths with points, separated by spaces.
    pub additional_scopes_key: Option<String>,
}

impl OAuthOptions {
    /// Settings with RabbitMQ's defaults: no source of keys yet.
    pub fn new(resource_server_id: &str) -> Self {
        Self {
            resource_server_id: resource_server_id.to_owned(),
            scope_prefix: None,
            issuer: None,
            jwks_url: None,
            jwks_file: None,
            authorities: None,
            default_key: None,
            verify_audience: true,
            algorithms: Self::ASYMMETRIC.to_vec(),
            username_claims: Vec::new(),
            additional_scopes_key: None,
        }
    }

    /// The algorithms whose keys need not be kept secret here.
    pub const ASYMMETRIC: [SigningAlgorithm; 9] = [
        SigningAlgorithm::RS256,
        SigningAlgorithm::RS384,
        SigningAlgorithm::RS512,
        SigningAlgorithm::PS256,
        SigningAlgorithm::PS384,
        SigningAlgorithm::PS512,
        SigningAlgorithm::ES256,
        SigningAlgorithm::ES384,
        SigningAlgorithm::EdDSA,
    ];

    pub(super) fn prefix(&self) -> String {
        let id = &self.resource_server_id;
        self.scope_prefix.clone().unwrap_or_else(|| format!("{id}."))
    }
}
