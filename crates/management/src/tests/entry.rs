//! What comes before a resource: doorways and tokens.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use super::world::{Answered, World, exchange};

fn bearer(world: &World, token: &str, method: &str, path: &str, body: &str) -> Answered {
    world.raw(method, path, &format!("Authorization: Bearer {token}\r\n"), body)
}

#[test]
fn who_passes_the_doorway_is_served_and_who_stalls_holds_up_nobody() {
    let world = World::new();
    let stalled: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(world.secure).unwrap()).collect();
    let mut wrong = TcpStream::connect(world.secure).unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(exchange(world.secure, "GET / HTTP/1.1\r\n\r\n").status, 0, "no handshake");
    let page = exchange(world.secure, "!GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(page.status, 200);
    drop(stalled);
}

#[test]
fn only_what_is_secure_says_so() {
    let world = World::new();
    let login = json!({"username": "admin", "password": "admin"}).to_string();
    let length = login.len();
    let request = format!(
        "POST /api/leveret/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{login}"
    );
    let secure = exchange(world.secure, &format!("!{request}"));
    assert_eq!(secure.header("strict-transport-security"), Some("max-age=7"));
    assert!(secure.header("set-cookie").unwrap().ends_with("; Secure"), "{secure:?}");
    let plain = world.ask(None, "POST", "leveret/session", &login);
    assert_eq!(plain.header("strict-transport-security"), None);
    assert!(!plain.header("set-cookie").unwrap().contains("Secure"));
}

#[test]
fn a_token_opens_what_its_scopes_say_and_nothing_of_a_user() {
    let world = World::new();
    assert_eq!(bearer(&world, "nothing", "GET", "overview", "").status, 401);
    let untagged = bearer(&world, "read:*/*", "GET", "overview", "");
    assert_eq!((untagged.status, &untagged.json()["reason"]), (401, &json!("Not management user")));
    let token = "tag:management,configure:%2F/mine.*,read:%2F/*";
    assert_eq!(
        bearer(&world, token, "GET", "whoami", "").json(),
        json!({"name": "bearer", "tags": ["management"]})
    );
    assert_eq!(bearer(&world, token, "PUT", "queues/%2F/mine.1", "{}").status, 201);
    let refused = bearer(&world, token, "PUT", "queues/%2F/other", "{}");
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("configure access to queue 'other' in vhost '/' refused"));
    assert_eq!(world.put("vhosts/v", &json!({})), 201);
    assert_eq!(bearer(&world, token, "GET", "queues/v", "").status, 401);
    assert_eq!(bearer(&world, token, "GET", "vhosts", "").json().as_array().unwrap().len(), 1);
    assert_eq!(bearer(&world, token, "GET", "users", "").status, 401);
    let all = "tag:administrator";
    assert_eq!(bearer(&world, all, "GET", "users", "").status, 200);
    assert_eq!(bearer(&world, all, "PUT", "vhosts/by-token", "{}").status, 201);
    assert_eq!(bearer(&world, all, "PUT", "queues/by-token/q", "{}").status, 401, "no scope");
}
