//! Where keys come from: a file, an address, or the discovery document of the issuer (OpenID
//! Connect Discovery 1.0, section 4).
//!
//! Invariant: whatever a source says, what is kept of it is bounded.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::key_ring::Keys;
use super::options::{OAuthOptions, WebAddress};
pub(super) use crate::web_client::DOCUMENT_MAX;
use crate::web_client::Host;

/// How long fetching a document may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a discovery document says.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn fault(place: impl std::fmt::Display, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{place}: {error}"))
}

/// The keys of the file.
pub(super) fn from_file(path: &Path) -> io::Result<Keys> {
    let place = path.display();
    let size = std::fs::metadata(path).map_err(|error| fault(&place, error))?.len();
    if size > DOCUMENT_MAX as u64 {
        return Err(fault(&place, format!("larger than {DOCUMENT_MAX} bytes")));
    }
    let document = std::fs::read(path).map_err(|error| fault(&place, error))?;
    Keys::parse(&document, true).map_err(|error| fault(&place, error))
}

/// The keys of the address, or of the issuer's; none if the options name neither.
pub(super) async fn from_web(options: &OAuthOptions) -> io::Result<Option<Keys>> {
    let address = match (&options.jwks_url, &options.issuer) {
        (Some(address), _) => address.clone(),
        (None, Some(issuer)) if options.jwks_file.is_none() => discover(issuer, options).await?,
        _ => return Ok(None),
    };
    let document = fetch(&address, options).await?;
    // A secret that everybody can fetch is none.
    let keys = Keys::parse(&document, false).map_err(|error| fault(&address, error))?;
    Ok(Some(keys))
}

async fn fetch(address: &WebAddress, options: &OAuthOptions) -> io::Result<Vec<u8>> {
    let mut host = Host::new(address.clone()).trusting(options.authorities.clone());
    let fetched = timeout(TIMEOUT, host.get()).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", TIMEOUT.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    });
    fetched.map_err(|error| fault(address, error))
}

/// Where the issuer has its keys.
async fn discover(issuer: &str, options: &OAuthOptions) -> io::Result<WebAddress> {
    let path = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let address: WebAddress = path.parse().map_err(|error| fault(&path, error))?;
    let document = fetch(&address, options).await?;
    let found: Discovery =
        serde_json::from_slice(&document).map_err(|error| fault(&address, error))?;
    if found.issuer != issuer {
        return Err(fault(&address, "this document is of another issuer"));
    }
    let keys: WebAddress =
        found.jwks_uri.parse().map_err(|error| fault(&address, format!("jwks_uri: {error}")))?;
    if address.is_secure() && !keys.is_secure() {
        return Err(fault(&address, "jwks_uri is not protected by TLS"));
    }
    Ok(keys)
}
