//! Tokens made here, good and bad, with keys made here.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, encode};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// 1,000 s after 1970, as the clock of sessions in tests.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// A key that signs, and what a set has of it.
pub(crate) struct Signer {
    key: EncodingKey,
    algorithm: SigningAlgorithm,
    id: &'static str,
}

fn rsa() -> EncodingKey {
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    // Behind the head of PKCS #8, which is as long as this for every key of this size.
    EncodingKey::from_rsa_der(&pair.serialize_der()[26..])
}

fn ec() -> EncodingKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    EncodingKey::from_ec_der(&pair.serialize_der())
}

macro_rules! signer {
    ($name:ident, $key:expr, $algorithm:ident) => {
        pub(crate) static $name: LazyLock<Signer> = LazyLock::new(|| Signer {
            key: $key,
            algorithm: SigningAlgorithm::$algorithm,
            id: stringify!($name),
        });
    };
}
signer!(RSA, rsa(), RS256);
signer!(EC, ec(), ES256);
signer!(OTHER_EC, ec(), ES256);

impl Signer {
    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        jwk.common.key_algorithm = None;
        serde_json::to_value(jwk).unwrap()
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.key).unwrap()
    }
}

pub(crate) fn key_set(signers: &[&Signer]) -> Vec<u8> {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// Claims that are good for an hour from [`NOW`], with some replaced; null removes one.
pub(crate) fn claims(replaced: Value) -> Value {
    let mut claims = json!({
        "sub": "shop", "aud": ["rabbitmq", "other"], "iss": "https://idp", "exp": 4600,
        "scope": "rabbitmq.read:*/* other.write:*/* rabbitmq.tag:management openid",
    });
    for (name, value) in replaced.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// A file that goes with its test.
pub(crate) struct KeyFile(pub(crate) PathBuf);

impl KeyFile {
    pub(crate) fn new(content: &[u8]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("leveret-jwks-{}-{number}.json", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        std::fs::write(&file.0, content).unwrap();
        file
    }

    pub(crate) fn options(&self) -> OAuthOptions {
        OAuthOptions { jwks_file: Some(self.0.clone()), ..OAuthOptions::new("rabbitmq") }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn options() -> OAuthOptions {
    OAuthOptions::new("rabbitmq")
}

fn keys(signers: &[&Signer]) -> Keys {
    Keys::parse(&key_set(signers), false).unwrap()
}

fn fault_of(token: &str, options: &OAuthOptions) -> Option<Fault> {
    verify(token.as_bytes(), &keys(&[&RSA, &EC]), options, NOW).err()
}

#[test]
fn a_good_token_says_who_comes_and_until_when() {
    let keys = keys(&[&RSA, &EC]);
    for signer in [&RSA, &EC] {
        let token = signer.token(&claims(json!({})));
        assert!(is_token(token.as_bytes()));
        let bearer = verify(token.as_bytes(), &keys, &options(), NOW).unwrap();
        assert_eq!((&*bearer.user, bearer.expires_at), ("shop", Timestamp(4_600_000)));
        assert!(bearer.scopes.has_tag("management"));
    }
    for algorithm in [SigningAlgorithm::PS512, SigningAlgorithm::RS384] {
        let header = Header { kid: Some("RSA".to_owned()), ..Header::new(algorithm) };
        let token = encode(&header, &claims(json!({})), &RSA.key).unwrap();
        assert_eq!(fault_of(&token, &options()), None);
        let allowed = vec![SigningAlgorithm::RS256];
        let only = OAuthOptions { algorithms: allowed, ..options() };
        assert_eq!(fault_of(&token, &only), Some(Fault::Algorithm));
    }
    assert!(!is_token(b"password") && !is_token(b"a.b.c") && !is_token(b"e30.e30.e30"));
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let strict = OAuthOptions { issuer: Some("https://idp".to_owned()), ..options() };
    let many: Vec<String> = (0..2049).map(|number| format!("rabbitmq.read:v/{number}")).collect();
    for (replaced, fault) in [
        (json!({}), None),
        (json!({"exp": 1001}), None),
        (json!({"exp": 1001.9}), None),
        (json!({"exp": 1000}), Some(Fault::Expired)),
        (json!({"exp": 0}), Some(Fault::Expired)),
        (json!({"exp": null}), Some(Fault::NoExpiry)),
        (json!({"exp": "4600"}), Some(Fault::NoExpiry)),
        (json!({"exp": -1}), Some(Fault::NoExpiry)),
        (json!({"exp": 1e300}), None),
        (json!({"nbf": 1030}), None),
        (json!({"nbf": 1031}), Some(Fault::NotYet)),
        (json!({"nbf": "soon"}), Some(Fault::Malformed)),
        (json!({"aud": "rabbitmq"}), None),
        (json!({"aud": "other rabbitmq"}), None),
        (json!({"aud": ["other"]}), Some(Fault::Audience)),
        (json!({"aud": "rabbitmqx"}), Some(Fault::Audience)),
        (json!({"aud": null}), Some(Fault::Audience)),
        (json!({"iss": "https://idp/"}), Some(Fault::Issuer)),
        (json!({"iss": null}), Some(Fault::Issuer)),
        (json!({"sub": null, "client_id": "shop"}), None),
        (json!({"sub": null}), Some(Fault::NoUser)),
        (json!({"sub": ""}), Some(Fault::NoUser)),
        (json!({"sub": 7}), Some(Fault::NoUser)),
        (json!({"scope": null}), None),
        (json!({"scope": many}), Some(Fault::TooManyScopes)),
    ] {
        let token = EC.token(&claims(replaced.clone()));
        assert_eq!(fault_of(&token, &strict), fault, "{replaced}");
    }
    let lax = OAuthOptions { verify_audience: false, ..options() };
    assert_eq!(fault_of(&EC.token(&claims(json!({"aud": null, "iss": null}))), &lax), None);
    let far = EC.token(&claims(json!({"exp": 1e300})));
    let bearer = verify(far.as_bytes(), &keys(&[&EC]), &options(), NOW).unwrap();
    assert!(bearer.expires_at < Timestamp(400_000_000_000), "ten years");
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn who_has_not_the_key_gets_nowhere() {
    let good = claims(json!({}));
    let all = [SigningAlgorithm::HS256].into_iter().chain(OAuthOptions::ASYMMETRIC).collect();
    // HMAC is allowed, too: still not with the text of a public key.
    let lax = OAuthOptions { algorithms: all, ..options() };
    let body = encoded(&good);
    for alg in ["none", "None", "NONE", "", "HS1"] {
        let head = encoded(&json!({"alg": alg, "typ": "JWT", "kid": "RSA"}));
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{body}.{signature}");
            assert!(is_token(token.as_bytes()));
            assert_eq!(fault_of(&token, &lax), Some(Fault::Algorithm), "{alg}");
        }
    }
    let jwk = RSA.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [&modulus[..], jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes()]
    {
        let head = Header { kid: Some("RSA".into()), ..Header::new(SigningAlgorithm::HS256) };
        let token = encode(&head, &good, &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(fault_of(&token, &options()), Some(Fault::Algorithm));
        assert_eq!(fault_of(&token, &lax), Some(Fault::Algorithm));
    }
    let forged = Signer { id: "EC", key: OTHER_EC.key.clone(), algorithm: SigningAlgorithm::ES256 };
    assert_eq!(fault_of(&forged.token(&good), &lax), Some(Fault::Signature));
    let disguised = Signer { id: "RSA", ..forged };
    assert_eq!(fault_of(&disguised.token(&good), &lax), Some(Fault::Algorithm));
    assert_eq!(fault_of(&OTHER_EC.token(&good), &lax), Some(Fault::UnknownKey));
    let token = EC.token(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let other = encoded(&claims(json!({"sub": "admin"})));
    let changed = format!("{}.{other}.{}", parts[0], parts[2]);
    assert_eq!(fault_of(&changed, &lax), Some(Fault::Signature));
    let critical = encoded(&json!({"alg": "ES256", "kid": "EC", "crit": ["b64"], "b64": false}));
    assert_eq!(fault_of(&format!("{critical}.{body}.AAAA"), &lax), Some(Fault::Malformed));
    let giant = KeyRing::default().token(Secret::new([b'A'; TOKEN_MAX + 1]));
    assert_eq!(giant.err(), Some(Fault::TooLong));
}

#[test]
fn a_key_is_used_only_for_what_it_is_for() {
    let token = RSA.token(&claims(json!({})));
    let with = |name: &str, value: &str| {
        let mut jwk = RSA.jwk();
        jwk[name] = json!(value);
        let set = json!({"keys": [{"kty": "future"}, 7, {"kty": "RSA", "n": "!"}, jwk]});
        let keys = Keys::parse(set.to_string().as_bytes(), false).unwrap();
        verify(token.as_bytes(), &keys, &options(), NOW).err()
    };
    assert_eq!(with("alg", "RS256"), None);
    assert_eq!(with("alg", "PS256"), Some(Fault::Algorithm));
    assert_eq!(with("alg", "RSA-OAEP"), Some(Fault::UnknownKey));
    assert_eq!(with("use", "sig"), None);
    assert_eq!(with("use", "enc"), Some(Fault::UnknownKey));
    // A secret counts in a file, not from the web, and only if its algorithm is allowed.
    let secret = json!({"keys": [{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}]}).to_string();
    let header = Header { kid: Some("s".into()), ..Header::new(SigningAlgorithm::HS256) };
    let token = encode(&header, &claims(json!({})), &EncodingKey::from_secret(b"secret")).unwrap();
    let hmac = OAuthOptions { algorithms: vec![SigningAlgorithm::HS256], ..options() };
    let check = |secrets, options: &OAuthOptions| {
        let keys = Keys::parse(secret.as_bytes(), secrets).unwrap();
        verify(token.as_bytes(), &keys, options, NOW).err()
    };
    assert_eq!(check(true, &hmac), None);
    assert_eq!(check(true, &options()), Some(Fault::Algorithm));
    assert_eq!(check(false, &hmac), Some(Fault::UnknownKey));
    for wrong in ["", "{}", "[]", "{\"keys\": 7}", &format!("{{\"keys\":[{}0]}}", "0,".repeat(256))]
    {
        assert!(Keys::parse(wrong.as_bytes(), true).is_err(), "{wrong}");
    }
}

#[test]
fn a_token_without_an_id_is_by_the_default_key_or_the_only_one() {
    let token = encode(&Header::new(SigningAlgorithm::ES256), &claims(json!({})), &EC.key).unwrap();
    let default = |id: &str| OAuthOptions { default_key: Some(id.to_owned()), ..options() };
    assert_eq!(fault_of(&token, &options()), Some(Fault::UnknownKey), "there are two");
    assert_eq!(fault_of(&token, &default("EC")), None);
    assert_eq!(fault_of(&token, &default("RSA")), Some(Fault::Algorithm));
    assert!(verify(token.as_bytes(), &keys(&[&EC]), &options(), NOW).is_ok());
}

#[test]
fn scopes_are_found_wherever_they_may_be() {
    use leveret_broker::broker::{Broker, Principal};
    let broker = Broker::new(Arc::new(leveret_broker::log::NoLog::default()), [1; 32]);
    broker.add_vhost("v");
    let enters = |replaced: Value, options: &OAuthOptions| {
        let token = EC.token(&claims(replaced));
        let bearer = verify(token.as_bytes(), &keys(&[&EC]), options, NOW).unwrap();
        let mut who = Principal::new(broker.new_connection()).in_vhost(&bearer.user, "v");
        who.scopes = Some(bearer.scopes);
        broker.check_vhost(&who, "v").is_ok()
    };
    let scope = "rabbitmq.read:v/*";
    let further = OAuthOptions {
        additional_scopes_key: Some("roles realm.list.roles https://x.y/z".to_owned()),
        ..options()
    };
    for (replaced, by_default, by_key) in [
        (json!({"scope": scope}), true, true),
        (json!({"scope": ["a", scope]}), true, true),
        (json!({"scope": 7}), false, false),
        (json!({"scope": "read:v/*"}), false, false),
        (json!({"scope": "rabbitmq.read:w/* xrabbitmq.read:v/*"}), false, false),
        (json!({"scope": "", "roles": scope}), false, true),
        (json!({"scope": "", "roles": {"rabbitmq": "read:v/*"}}), false, true),
        (json!({"scope": "", "roles": {"other": "read:v/*"}}), false, false),
        (json!({"scope": "", "realm": {"list": [1, {"roles": [scope]}]}}), false, true),
        (json!({"scope": "", "https://x.y/z": scope}), false, true),
        (json!({"scope": "", "authorization": {"permissions": [{"scopes": [scope]}]}}), true, true),
    ] {
        assert_eq!(enters(replaced.clone(), &options()), by_default, "{replaced}");
        assert_eq!(enters(replaced.clone(), &further), by_key, "{replaced}");
    }
    let prefix = |text: &str| OAuthOptions { scope_prefix: Some(text.to_owned()), ..options() };
    assert!(enters(json!({"scope": "read:v/*"}), &prefix("")));
    assert!(enters(json!({"scope": "api://read:v/*"}), &prefix("api://")));
    assert!(!enters(json!({"scope": scope}), &prefix("api://")));
    let named = OAuthOptions { username_claims: vec!["email".into(), "name".into()], ..options() };
    let token = EC.token(&claims(json!({"name": "n", "email": 7})));
    assert_eq!(&*verify(token.as_bytes(), &keys(&[&EC]), &named, NOW).unwrap().user, "n");
}

fn shown(ring: &KeyRing, token: &str) -> Token {
    ring.token(Secret::new(token.as_bytes())).unwrap()
}

#[test]
fn a_good_token_is_known_until_it_ends_or_the_keys_change() {
    let file = KeyFile::new(&key_set(&[&EC]));
    let (ring, options) = (KeyRing::default(), Arc::new(file.options()));
    let good = shown(&ring, &EC.token(&claims(json!({"exp": 1400}))));
    let bad = shown(&ring, &OTHER_EC.token(&claims(json!({}))));
    let recall = |token, options, now| ring.recall(token, options, now).is_some();
    assert!(!recall(&good, &options, NOW));
    ring.refresh_file(&options, NOW);
    assert!(ring.verify(&good, &options, NOW).is_ok() && ring.verify(&bad, &options, NOW).is_err());
    assert!(recall(&good, &options, NOW.after(399_999)) && !recall(&bad, &options, NOW));
    assert!(!recall(&good, &options, NOW.after(400_000)), "its end");
    assert!(!format!("{good:?}").contains("ey"), "{good:?}");
    assert_ne!(good.hash(), shown(&KeyRing::default(), "").hash());
    let again = shown(&KeyRing::default(), &EC.token(&claims(json!({"exp": 1400}))));
    assert_ne!(good.hash(), again.hash(), "each server's own");
    // The key is withdrawn, and its source is looked at for another token's sake.
    std::fs::write(&file.0, key_set(&[&OTHER_EC])).unwrap();
    let later = NOW.after(10_000);
    assert!(matches!(ring.look(&bad, &options, later), Looked::NeedsKeys));
    ring.refresh_file(&options, later);
    assert!(!recall(&good, &options, later) && ring.verify(&good, &options, later).is_err());
    assert!(ring.verify(&bad, &options, later).is_ok() && recall(&bad, &options, later));
    assert!(!recall(&bad, &options, later.after(600_000)), "the keys are to be read again");
    let other = Arc::new(OAuthOptions { resource_server_id: "other".to_owned(), ..file.options() });
    assert!(!recall(&bad, &other, later), "other settings");
}

#[test]
fn a_file_is_read_again_for_a_key_that_is_not_known_but_not_too_often() {
    let file = KeyFile::new(&key_set(&[&RSA]));
    let (ring, options) = (KeyRing::default(), Arc::new(file.options()));
    let token = shown(&ring, &EC.token(&claims(json!({}))));
    let look = |options, now| {
        let looked = ring.look(&token, options, now);
        if matches!(looked, Looked::NeedsKeys) {
            ring.refresh_file(options, now);
        }
        matches!(looked, Looked::NeedsKeys)
    };
    let verify = |options, now| ring.verify(&token, options, now).err();
    assert!(look(&options, NOW) && verify(&options, NOW) == Some(Fault::UnknownKey));
    std::fs::write(&file.0, key_set(&[&EC])).unwrap();
    assert!(!look(&options, NOW.after(9_999)), "a moment ago");
    assert!(look(&options, NOW.after(10_000)) && verify(&options, NOW).is_none());
    // Keys that are withdrawn count until the next look, a broken file changes nothing.
    std::fs::write(&file.0, key_set(&[])).unwrap();
    assert!(!look(&options, NOW.after(609_999)) && verify(&options, NOW).is_none());
    std::fs::write(&file.0, "{").unwrap();
    assert!(look(&options, NOW.after(610_000)) && verify(&options, NOW).is_none());
    std::fs::write(&file.0, key_set(&[])).unwrap();
    let again = Arc::new(file.options());
    assert!(look(&again, NOW.after(610_001)), "the same settings, read again");
    assert_eq!(verify(&again, NOW), Some(Fault::UnknownKey));
    std::fs::write(&file.0, key_set(&[&EC])).unwrap();
    assert!(look(&again, NOW.after(620_001)) && verify(&again, NOW).is_none());
    let other = Arc::new(OAuthOptions { jwks_file: None, ..file.options() });
    assert_eq!(verify(&other, NOW), Some(Fault::UnknownKey), "keys of other settings");
}

/// Serves documents over HTTP by their paths; how often it was asked.
pub(crate) fn serve(documents: Vec<(String, Vec<u8>)>) -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, own) = (Arc::new(AtomicUsize::new(0)), address.clone());
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]);
            let found = documents.iter().find(|(path, _)| request.contains(&format!(" {path} ")));
            let (status, body) = found.map_or(("404 No", &b""[..]), |(_, body)| ("200 OK", body));
            let body = String::from_utf8_lossy(body).replace("$HERE", &own);
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    (address, asked)
}

async fn after_refresh(options: OAuthOptions, token: &str) -> Option<Fault> {
    let (ring, options) = (KeyRing::default(), Arc::new(options));
    ring.refresh(&options, NOW).await;
    ring.verify(&shown(&ring, token), &options, NOW).err()
}

#[tokio::test]
async fn keys_are_fetched_from_an_address_or_by_the_issuers_document() {
    let discovery =
        |issuer: &str| json!({"issuer": issuer, "jwks_uri": "$HERE/keys"}).to_string().into_bytes();
    let giant = [key_set(&[&EC]), vec![b' '; sources::DOCUMENT_MAX]].concat();
    let (here, asked) = serve(vec![
        ("/keys".to_owned(), key_set(&[&EC])),
        ("/giant".to_owned(), giant),
        ("/realm/.well-known/openid-configuration".to_owned(), discovery("$HERE/realm")),
        ("/false/.well-known/openid-configuration".to_owned(), discovery("https://else")),
    ]);
    let token = |issuer: &str| EC.token(&claims(json!({ "iss": issuer })));
    let at = |path: &str| {
        let jwks_url = Some(format!("{here}{path}").parse().unwrap());
        OAuthOptions { jwks_url, ..options() }
    };
    assert_eq!(after_refresh(at("/keys"), &token("")).await, None);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let unknown = Some(Fault::UnknownKey);
    assert_eq!(after_refresh(at("/giant"), &token("")).await, unknown);
    assert_eq!(after_refresh(at("/none"), &token("")).await, unknown);
    let of = |issuer: &str| OAuthOptions { issuer: Some(issuer.to_owned()), ..options() };
    let issuer = format!("{here}/realm");
    assert_eq!(after_refresh(of(&issuer), &token(&issuer)).await, None);
    assert_eq!(after_refresh(of(&issuer), &token("x")).await, Some(Fault::Issuer));
    let issuer = format!("{here}/false");
    assert_eq!(after_refresh(of(&issuer), &token(&issuer)).await, unknown);
}

#[test]
fn addresses_have_a_host_and_no_password() {
    for good in ["https://h/p", "http://127.0.0.1:80", "https://[::1]:8443/keys?a=b"] {
        assert!(good.parse::<WebAddress>().is_ok(), "{good}");
    }
    for bad in ["", "h", "/p", "ftp://h/", "https://", "https://u:p@h/", "http:h", "https://h h/"] {
        assert!(bad.parse::<WebAddress>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_as_a_token_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        is_token(&bytes);
        prop_assert!(verify(&bytes, &keys(&[&EC]), &options(), NOW).is_err());
    }

    /// What is signed by somebody we trust may be nonsense all the same.
    #[test]
    fn any_header_and_claims_never_panic(
        head in "[a-z0-9\"{}:,\\[\\]. -]{0,40}",
        name in "(exp|nbf|aud|iss|sub|scope|authorization)",
        value in "([0-9eE.+-]{1,9}|\"[a-z:/*%{}. ]{0,20}\"|\\[[0-9,]{0,5}\\]|\\{\"a\":1\\})",
    ) {
        let wrapped = format!("{{\"alg\":\"ES256\",\"kid\":\"EC\",{head}}}");
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(wrapped));
        prop_assert!(fault_of(&token, &options()).is_some());
        if let Ok(value) = serde_json::from_str::<Value>(&value) {
            let claims = claims(json!({ name: value }));
            let _ = claims::bearer(claims.as_object().unwrap(), &options(), NOW);
        }
    }

    #[test]
    fn a_token_with_a_changed_byte_is_refused(at in any::<prop::sample::Index>(), to: u8) {
        static TOKEN: LazyLock<String> = LazyLock::new(|| EC.token(&claims(json!({}))));
        let mut token = TOKEN.clone().into_bytes();
        let at = at.index(token.len());
        let before = std::mem::replace(&mut token[at], to);
        if before != to {
            prop_assert!(verify(&token, &keys(&[&EC]), &options(), NOW).is_err());
        }
    }
}
