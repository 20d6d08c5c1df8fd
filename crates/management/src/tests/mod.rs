//! The interface over a socket, before a server of which only the broker is real.

mod entry;
mod kept;
mod shapes;
pub(crate) mod world;

use serde_json::{Value, json};

use world::World;

/// Names with all that has a meaning somewhere.
const NAMES: [&str; 4] = ["a/b", "q\"'<b>&%2F", "\u{5d0}\u{5d1} \u{1f407}", "a+b ~c?d#e"];

fn encode(name: &str) -> String {
    crate::request::encode(name)
}

#[test]
fn every_resource_answers_who_may_and_no_one_else() {
    let world = World::new();
    for route in crate::resources::ROUTES.iter().flat_map(|table| table.iter()) {
        let (method, pattern) = route.shown();
        if pattern == "leveret/session" {
            continue;
        }
        let path = pattern.replace('*', "nothing");
        let refused = world.ask(None, method, &path, "");
        assert_eq!(refused.status, 401, "{method} {path}");
        assert!(refused.head.contains("www-authenticate: Basic"), "{method} {path}");
        let wrong = world.ask(Some("admin:wrong"), method, &path, "");
        assert_eq!((wrong.status, &wrong.json()["reason"]), (401, &json!("Login failed")));
        let untagged = world.ask(Some("plain:plain"), method, &path, "");
        assert_eq!((untagged.status, &untagged.json()["error"]), (401, &json!("not_authorised")));
        let answer = world.ask(Some("admin:admin"), method, &path, "{}");
        assert!(
            answer.status < 500 || pattern.starts_with("health"),
            "{method} {path}: {answer:?}"
        );
        assert_ne!(answer.status, 405, "{method} {path}");
        if method != "GET" {
            let bad = world.ask(Some("admin:admin"), method, &path, "[1");
            assert!(bad.status < 500, "{method} {path}: {bad:?}");
        }
        assert_eq!(world.ask(Some("admin:admin"), "PATCH", &path, "").status, 405, "{path}");
        assert_eq!(world.ask(Some("admin:admin"), "OPTIONS", &path, "").status, 200, "{path}");
    }
    assert_eq!(world.get("no/such/thing").status, 404);
}

#[test]
fn names_of_all_kinds_go_there_and_back() {
    let world = World::new();
    for name in NAMES {
        let (vhost, name) = (encode(name), encode(name));
        assert_eq!(world.put(&format!("vhosts/{vhost}"), &json!({})), 201);
        assert_eq!(world.put(&format!("queues/{vhost}/{name}"), &json!({"durable": true})), 201);
        assert_eq!(world.put(&format!("queues/{vhost}/{name}"), &json!({"durable": true})), 204);
        let exchange = json!({"type": "topic"});
        assert_eq!(world.put(&format!("exchanges/{vhost}/{name}"), &exchange), 201);
        let between = format!("bindings/{vhost}/e/{name}/q/{name}");
        let binding = json!({"routing_key": "a.#.\u{1f407}", "arguments": {"k": "v"}});
        let made = world.ask(Some("admin:admin"), "POST", &between, &binding.to_string());
        assert_eq!(made.status, 201);
        let place = made.header("location").unwrap();
        assert_eq!(world.get(&format!("bindings/{vhost}/e/{name}/q/{place}")).status, 200);
        let message = json!({
            "properties": {}, "routing_key": "a.b.\u{1f407}", "payload": "x",
            "payload_encoding": "string",
        });
        let publish = format!("exchanges/{vhost}/{name}/publish");
        let published = world.ask(Some("admin:admin"), "POST", &publish, &message.to_string());
        assert_eq!(published.json(), json!({"routed": true}));
        assert_eq!(world.get(&format!("queues/{vhost}/{name}")).json()["messages"], 1);
        let browsed = world.get(&format!("leveret/queues/{vhost}/{name}/messages"));
        assert_eq!(browsed.json()["messages"][0]["payload"], "x");
        assert_eq!(world.delete(&format!("bindings/{vhost}/e/{name}/q/{place}")), 204);
        assert_eq!(world.delete(&format!("queues/{vhost}/{name}")), 204);
        assert_eq!(world.delete(&format!("queues/{vhost}/{name}")), 404);
        assert_eq!(world.delete(&format!("vhosts/{vhost}")), 204);
    }
}

#[test]
fn a_user_does_by_http_what_it_may_by_amqp() {
    let world = World::new();
    assert_eq!(world.put("queues/%2F/q", &json!({})), 201);
    let who = Some("reader:reader");
    let refused = world.ask(who, "DELETE", "queues/%2F/q", "");
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("configure access to queue 'q' in vhost '/' refused"));
    assert_eq!(world.ask(who, "PUT", "queues/%2F/other", "{}").status, 401);
    let message = json!({
        "properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string",
    });
    let publish = "exchanges/%2F/amq.default/publish";
    assert_eq!(world.ask(who, "POST", publish, &message.to_string()).status, 401);
    assert_eq!(world.ask(who, "DELETE", "queues/%2F/q/contents", "").status, 204);
    assert_eq!(world.put("vhosts/hidden", &json!({})), 201);
    assert_eq!(world.ask(who, "GET", "queues/hidden", "").status, 401);
    let vhosts = world.ask(who, "GET", "vhosts", "").json();
    assert_eq!(vhosts.as_array().unwrap().len(), 1);
}

#[test]
fn pages_are_cut_sorted_and_filtered() {
    let world = World::new();
    for number in 0..25 {
        assert_eq!(world.put(&format!("queues/%2F/q{number:02}"), &json!({})), 201);
    }
    let page = world.get("queues?page=2&page_size=10&sort=name&sort_reverse=true&columns=name");
    let page = page.json();
    assert_eq!((&page["filtered_count"], &page["page_count"]), (&json!(25), &json!(3)));
    assert_eq!(page["items"][0], json!({"name": "q14"}));
    let found = world.get("queues?page=1&page_size=5&name=q1.%24&use_regex=true").json();
    assert_eq!((&found["filtered_count"], &found["item_count"]), (&json!(10), &json!(5)));
    let beyond = world.get("queues?page=9&page_size=10");
    assert_eq!((beyond.status, &beyond.json()["error"]), (400, &json!("page_out_of_range")));
    assert_eq!(world.get("queues?page=x").status, 400);
    assert_eq!(world.get("queues?page=1&page_size=100000").status, 400);
    assert_eq!(world.get("queues?page=1&name=(&use_regex=true").status, 400);
}

#[test]
fn bodies_have_a_bound_and_must_be_right() {
    let world = World::new();
    let large = json!({"arguments": {"a": "x".repeat(11 << 10)}}).to_string();
    assert_eq!(world.ask(Some("admin:admin"), "PUT", "queues/%2F/q", &large).status, 413);
    for (path, body) in [
        ("queues/%2F/q", "[]"),
        ("queues/%2F/q", "{\"durable\": 7}"),
        ("queues/%2F/q", "{\"arguments\": {\"x-max-length\": \"x\"}}"),
        ("exchanges/%2F/x", "{\"type\": \"nope\"}"),
        ("users/u", "{\"password\": \"p\"}"),
        ("policies/%2F/p", "{\"pattern\": \"(\", \"definition\": {\"max-length\": 1}}"),
        ("policies/%2F/p", "{\"pattern\": \"a\", \"definition\": {\"nosuch\": 1}}"),
        ("parameters/nosuch/%2F/p", "{\"value\": 1}"),
        ("vhost-limits/%2F/nosuch", "{\"value\": 1}"),
    ] {
        let answer = world.ask(Some("admin:admin"), "PUT", path, body);
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("bad_request")),
            "{path}"
        );
    }
    let missing = world.ask(Some("admin:admin"), "PUT", "queues/nosuch/q", "{}");
    let text = json!({"error": "not_found", "reason": "vhost_not_found"});
    assert_eq!((missing.status, missing.json()), (404, text));
    assert_eq!(world.get("queues/%2F/%ff").status, 400);
}

#[test]
fn a_page_of_ours_has_a_session_that_ends_with_the_password() {
    let world = World::new();
    let login = json!({"username": "admin", "password": "admin"}).to_string();
    let opened = world.ask(None, "POST", "leveret/session", &login);
    assert_eq!(opened.status, 204);
    let cookie = opened.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let with = |more: &str| world.raw("GET", "whoami", &format!("Cookie: {cookie}\r\n{more}"), "");
    assert_eq!(with("").status, 403);
    assert_eq!(with("X-Leveret-UI: 1\r\n").json()["name"], "admin");
    let unknown = world.raw("GET", "whoami", "X-Leveret-UI: 1\r\n", "");
    assert_eq!((unknown.status, unknown.header("www-authenticate")), (401, None));
    assert_eq!(world.put("users/admin", &json!({"password": "n", "tags": "administrator"})), 204);
    assert_eq!(with("X-Leveret-UI: 1\r\n").status, 401);
}

fn positions(found: &Value) -> Vec<u64> {
    let messages = found["messages"].as_array().unwrap();
    messages.iter().map(|one| one["position"].as_u64().unwrap()).collect()
}

#[test]
fn messages_are_found_moved_and_deleted() {
    let world = World::new();
    for queue in ["from", "to"] {
        assert_eq!(world.put(&format!("queues/%2F/{queue}"), &json!({})), 201);
    }
    for number in 0..6 {
        let message = json!({
            "properties": {"headers": {"n": number}, "message_id": format!("m{number}")},
            "routing_key": "from", "payload": "x", "payload_encoding": "string",
        });
        let path = "exchanges/%2F/amq.default/publish";
        assert_eq!(world.ask(Some("admin:admin"), "POST", path, &message.to_string()).status, 200);
    }
    let look = |query: &str| world.get(&format!("leveret/queues/%2F/from/messages?{query}")).json();
    assert_eq!(positions(&look("where=headers.n=3")), [4]);
    assert_eq!(positions(&look("where=properties.message_id=m5")), [6]);
    let first = look("count=4");
    assert_eq!(positions(&first), [1, 2, 3, 4]);
    let rest = look(&format!("count=4&from={}", first["next"].as_str().unwrap()));
    assert_eq!((positions(&rest), &rest["next"]), (vec![5, 6], &Value::Null));
    let change = |what: &str, body: Value| {
        let path = format!("leveret/queues/%2F/from/messages/{what}");
        world.ask(Some("admin:admin"), "POST", &path, &body.to_string())
    };
    let dry = json!({"where": ["headers.n=1"], "to": {"queue": "to"}, "dry_run": true});
    assert_eq!(change("move", dry).json()["matched"], 1);
    let moved = json!({"where": ["headers.n"], "to": {"queue": "to"}, "limit": 2});
    let moved = change("move", moved).json();
    assert_eq!((&moved["moved"], moved["next"].is_string()), (&json!(2), true));
    assert_eq!(change("delete", json!({"positions": [3, 99]})).json()["deleted"], 1);
    assert_eq!(world.get("queues/%2F/from").json()["messages"], 3);
    assert_eq!(world.get("queues/%2F/to").json()["messages"], 2);
    assert_eq!(change("delete", json!({})).status, 400);
    assert_eq!(change("move", json!({"positions": [4], "to": {"queue": "from"}})).status, 400);
}

#[test]
fn messages_come_back_unless_they_are_acknowledged() {
    let world = World::new();
    assert_eq!(world.put("queues/%2F/q", &json!({})), 201);
    let message = json!({
        "properties": {"delivery_mode": 2, "headers": {"a": [1, {"b": true}]}},
        "routing_key": "q", "payload": "AAEC", "payload_encoding": "base64",
    });
    let path = "exchanges/%2F/amq.default/publish";
    world.ask(Some("admin:admin"), "POST", path, &message.to_string());
    let get = |ackmode: &str, encoding: &str| {
        let body = json!({"count": 5, "ackmode": ackmode, "encoding": encoding}).to_string();
        world.ask(Some("admin:admin"), "POST", "queues/%2F/q/get", &body).json()
    };
    let first = get("ack_requeue_true", "auto");
    assert_eq!(first[0]["payload"], "\u{0}\u{1}\u{2}");
    assert_eq!(first[0]["properties"]["headers"]["a"], json!([1, {"b": true}]));
    let second = get("ack_requeue_false", "base64");
    assert_eq!((&second[0]["payload"], &second[0]["redelivered"]), (&json!("AAEC"), &json!(true)));
    assert_eq!(get("ack_requeue_false", "auto"), json!([]));
    let bad = world.ask(Some("admin:admin"), "POST", "queues/%2F/q/get", "{\"count\": 1}");
    assert_eq!(bad.json()["reason"], "[{key_missing,encoding}]");
}
