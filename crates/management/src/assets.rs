//! The web pages, which are in the binary.
//!
//! Invariant: a page loads nothing from elsewhere and runs nothing that stands in it (the policy).

use bytes::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH, LOCATION};
use hyper::{Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::answer::Answer;

/// What a page may load and run: scripts, styles and pictures of this server.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The files by their paths, in order.
static PAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "webmanifest" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The file of a path.
pub(crate) fn find(method: &Method, path: &str, headers: &HeaderMap) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Answer::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, "GET, HEAD");
    }
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        // Where RabbitMQ's interface sends to.
        "mgmt" | "mgmt/" => return Answer::empty(StatusCode::FOUND).with(LOCATION, "/"),
        name => name,
    };
    let Ok(at) = PAGES.binary_search_by_key(&name, |(name, _)| name) else {
        return Answer::empty(StatusCode::NOT_FOUND);
    };
    let content = PAGES[at].1;
    let digest = Sha256::digest(content);
    let tag =
        format!("\"{}\"", digest[..8].iter().map(|one| format!("{one:02x}")).collect::<String>());
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let answer = match known {
        true => Answer::empty(StatusCode::NOT_MODIFIED),
        false => Answer::bytes(content_type(name), Bytes::from_static(content)),
    };
    answer.with(CACHE_CONTROL, "no-cache").with(ETAG, &tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_found_with_its_type_and_not_sent_twice() {
        let get = |path: &str, headers: &HeaderMap| find(&Method::GET, path, headers);
        assert!(PAGES.iter().any(|(name, _)| *name == "index.html"));
        for (name, content) in PAGES {
            let answer = get(&format!("/{name}"), &HeaderMap::new());
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, *content), "{name}");
            assert_ne!(answer.content_type, Some("application/octet-stream"), "{name}");
            let (_, tag) = answer.headers.iter().find(|(name, _)| *name == ETAG).unwrap();
            let known = HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]);
            assert_eq!(get(&format!("/{name}"), &known).status, StatusCode::NOT_MODIFIED);
        }
        assert_eq!(get("/", &HeaderMap::new()).content_type, Some("text/html; charset=utf-8"));
        assert_eq!(get("/nothing.js", &HeaderMap::new()).status, StatusCode::NOT_FOUND);
        assert_eq!(find(&Method::POST, "/", &HeaderMap::new()).status.as_u16(), 405);
    }
}
