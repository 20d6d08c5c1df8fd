//! The web pages, which are in the binary.
//!
//! Invariant: a page loads nothing from elsewhere and runs nothing that stands in it (the policy).

use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};

use crate::answer::Answer;

/// What a page may load and run: scripts, styles and pictures of this server.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The file of a path.
pub(crate) fn find(method: &Method, path: &str, headers: &HeaderMap) -> Answer {
    let _ = (method, path, headers);
    Answer::empty(StatusCode::NOT_FOUND)
}
