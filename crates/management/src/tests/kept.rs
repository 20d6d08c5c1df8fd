//! What is kept as it was said, over the interface: vhosts' words, parameters, names; and small
//! resources that tools ask for.

use serde_json::{Value, json};

use super::world::World;

fn post(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let answer = world.ask(Some("admin:admin"), "POST", path, &body.to_string());
    (answer.status, answer.json())
}

#[test]
fn a_vhost_keeps_its_words_and_gives_queues_their_type() {
    let world = World::new();
    let body = json!({"description": "d", "tags": "a,b", "default_queue_type": "quorum"});
    assert_eq!(world.put("vhosts/v", &body), 201);
    let found = world.get("vhosts/v").json();
    assert_eq!((&found["description"], &found["tags"]), (&json!("d"), &json!(["a", "b"])));
    assert_eq!(found["metadata"]["default_queue_type"], "quorum");
    assert_eq!(world.put("vhosts/v", &json!({"description": "e"})), 204);
    let found = world.get("vhosts/v").json();
    assert_eq!(
        (&found["description"], &found["default_queue_type"]),
        (&json!("e"), &json!("quorum"))
    );
    assert_eq!(world.put("queues/v/q", &json!({})), 201);
    assert_eq!(world.put("queues/v/t", &json!({"durable": false})), 201);
    assert_eq!(world.put("queues/v/a", &json!({"auto_delete": true})), 201);
    for (queue, kind) in [("q", "quorum"), ("t", "classic"), ("a", "classic")] {
        assert_eq!(world.get(&format!("queues/v/{queue}")).json()["type"], kind, "{queue}");
    }
    assert_eq!(world.put("queues/v/q", &json!({})), 204, "the same declare again");
    for kind in ["nope", "stream"] {
        let bad = json!({"description": "f", "default_queue_type": kind});
        assert_eq!(world.put("vhosts/v", &bad), 400, "{kind}");
        assert_eq!(world.put("vhosts/w", &bad), 400, "{kind}");
    }
    assert_eq!(world.get("vhosts/v").json()["description"], "e");
    assert_eq!(world.get("vhosts/w").status, 404, "nothing of it was made");
}

#[test]
fn a_protected_vhost_is_not_deleted() {
    let world = World::new();
    assert_eq!(world.put("vhosts/v", &json!({})), 201);
    assert_eq!(post(&world, "vhosts/v/deletion/protection", &json!({})).0, 204);
    assert_eq!(world.get("vhosts/v").json()["protected_from_deletion"], true);
    assert_eq!(world.delete("vhosts/v"), 412);
    assert_eq!(world.delete("vhosts/v/deletion/protection"), 204);
    assert_eq!(world.delete("vhosts/v"), 204);
}

#[test]
fn parameters_are_kept_and_unknown_components_are_refused() {
    let world = World::new();
    let shovel = json!({"value": {"src-uri": "amqp://", "dest-queue": "q"}});
    let path = "parameters/shovel/%2F/mine";
    assert_eq!(world.put(path, &shovel), 201);
    assert_eq!(world.put(path, &shovel), 204);
    let wanted = json!({
        "component": "shovel", "vhost": "/", "name": "mine", "value": shovel["value"],
    });
    assert_eq!(world.get(path).json(), wanted);
    assert_eq!(world.get("parameters/shovel").json(), json!([wanted]));
    let unknown = world.ask(Some("admin:admin"), "PUT", "parameters/nosuch/%2F/x", "{\"value\":1}");
    let reason = "Validation failed\n\ncomponent nosuch not found\n";
    assert_eq!((unknown.status, &unknown.json()["reason"]), (400, &json!(reason)));
    assert_eq!(world.put("parameters/shovel/%2F/x", &json!({"value": 7})), 400);
    assert_eq!(world.put("parameters/shovel/%2F/x", &json!({})), 400);
    assert_eq!(world.put("parameters/shovel/nowhere/x", &shovel), 404);
    assert_eq!((world.delete(path), world.delete(path)), (204, 404));
}

#[test]
fn limits_and_operator_policies_are_parameters_too() {
    let world = World::new();
    let limits = "parameters/vhost-limits/%2F/limits";
    assert_eq!(world.put(limits, &json!({"value": {"max-queues": 3}})), 201);
    assert_eq!(world.get("vhost-limits/%2F").json()[0]["value"], json!({"max-queues": 3}));
    assert_eq!(world.put(limits, &json!({"value": {"max-cats": 3}})), 400);
    assert_eq!((world.delete(limits), world.delete(limits)), (204, 404));
    let policy = "parameters/operator_policy/%2F/p";
    let terms = json!({"value": {"pattern": "^q", "definition": {"max-length": 1}}});
    assert_eq!(world.put(policy, &terms), 201);
    assert_eq!(world.get("operator-policies/%2F/p").json()["pattern"], "^q");
    assert_eq!((world.delete(policy), world.delete(policy)), (204, 404));
}

#[test]
fn global_parameters_and_the_clusters_name_go_with_the_definitions() {
    let world = World::new();
    assert_eq!(world.put("cluster-name", &json!({"name": "forest"})), 204);
    assert_eq!(world.get("cluster-name").json(), json!({"name": "forest"}));
    assert_eq!(world.put("cluster-name", &json!({"name": ""})), 400);
    assert_eq!(world.put("global-parameters/cluster_name", &json!({"value": {"a": 1}})), 400);
    let tags = json!({"value": {"region": "x"}});
    assert_eq!(world.put("global-parameters/cluster_tags", &tags), 201);
    assert_eq!(world.get("overview").json()["cluster_tags"], tags["value"]);
    let words = json!({"description": "d", "tags": ["t"], "default_queue_type": "quorum"});
    assert_eq!(world.put("vhosts/v", &words), 201);
    let kept = json!({"value": {"uri": "amqp://"}});
    assert_eq!(world.put("parameters/federation-upstream/%2F/u", &kept), 201);
    let file = world.get("definitions").json();
    assert_eq!(file["global_parameters"].as_array().unwrap().len(), 2);
    let other = World::new();
    assert_eq!(post(&other, "definitions", &file).0, 204);
    assert_eq!(other.get("cluster-name").json(), json!({"name": "forest"}));
    let again = other.get("definitions").json();
    for section in ["global_parameters", "vhosts", "parameters"] {
        assert_eq!(again[section], file[section], "{section}");
    }
    let bad = json!({"global_parameters": [{"name": "cluster_name", "value": 7}]});
    assert_eq!(post(&other, "definitions", &bad).0, 400);
    assert_eq!(other.delete("global-parameters/cluster_name"), 204);
    assert_eq!(other.get("cluster-name").json(), json!({"name": ""}), "as configured");
    assert_eq!(other.delete("global-parameters/cluster_name"), 404);
}

#[test]
fn a_certificate_that_runs_out_fails_the_check() {
    let world = World::new();
    for (within, status) in [("10/days", 200), ("11/days", 503), ("1/WEEKS", 200), ("2/weeks", 503)]
    {
        let answer = world.get(&format!("health/checks/certificate-expiration/{within}"));
        assert_eq!(answer.status, status, "{within}");
        if status == 503 {
            assert_eq!(answer.json()["reason"], "Certificates expiring");
            assert_eq!(answer.json()["expired"][0]["certfile"], "server.pem");
        }
    }
    for bad in ["x/days", "1/moons", "-1/days"] {
        let answer = world.get(&format!("health/checks/certificate-expiration/{bad}"));
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[test]
fn a_hashed_password_logs_in() {
    let world = World::new();
    let hash = world.get("auth/hash_password/secret%20word").json()["ok"].clone();
    assert_eq!(world.put("users/u", &json!({"password_hash": hash, "tags": "management"})), 201);
    assert_eq!(world.ask(Some("u:secret word"), "GET", "whoami", "").json()["name"], "u");
    assert_eq!(world.ask(Some("u:other"), "GET", "whoami", "").status, 401);
    assert_eq!(world.ask(Some("u:secret word"), "GET", "auth/hash_password/x", "").status, 401);
}

#[test]
fn messages_by_http_have_the_header_limits_of_others() {
    let world = World::new();
    assert_eq!(world.put("queues/%2F/q", &json!({})), 201);
    let publish = |headers: Value| {
        let message = json!({
            "properties": {"headers": headers}, "routing_key": "q", "payload": "x",
            "payload_encoding": "string",
        });
        post(&world, "exchanges/%2F/amq.default/publish", &message)
    };
    assert_eq!(publish(json!({"a": 1, "b": 2, "c": 3, "d": 4})).0, 200);
    let (status, answer) = publish(json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}));
    let reason = "message has 5 headers, more than the configured 4";
    assert_eq!((status, &answer["reason"]), (400, &json!(reason)));
    assert_eq!(publish(json!({"a": {"b": {"c": 1}}})).0, 200);
    let (status, answer) = publish(json!({"a": {"b": {"c": {"d": 1}}}}));
    let reason = "message has headers nested 4 deep, more than the configured 3";
    assert_eq!((status, &answer["reason"]), (400, &json!(reason)));
    assert_eq!(world.get("queues/%2F/q").json()["messages"], 2);
}

#[test]
fn what_is_deprecated_is_told_and_what_is_used_of_it() {
    let world = World::new();
    let names = |path: &str| -> Vec<String> {
        let found = world.get(path).json();
        let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names("deprecated-features"), ["global_qos", "transient_nonexcl_queues"]);
    assert!(names("deprecated-features/used").is_empty());
    assert_eq!(world.put("queues/%2F/t", &json!({"durable": false})), 201);
    assert_eq!(names("deprecated-features/used"), ["transient_nonexcl_queues"]);
}

#[test]
fn statistics_begin_anew_after_a_reset() {
    let world = World::new();
    assert_eq!(world.put("queues/%2F/q", &json!({})), 201);
    assert_eq!(world.get("queues/%2F/q").json()["idle_since"], "1970-01-01T00:16:40.000+00:00");
    assert_eq!(world.delete("reset"), 204);
    assert_eq!(world.delete("reset/leveret@localhost"), 204);
    assert_eq!(world.delete("reset/another@node"), 404);
    assert_eq!(world.get("queues/%2F/q").status, 200, "definitions stay");
}

#[test]
fn what_only_newer_tools_read_is_there() {
    let world = World::new();
    let arguments = json!({"arguments": {"x-consumer-timeout": 60_000}});
    assert_eq!(world.put("queues/%2F/q", &arguments), 201);
    assert_eq!(world.get("consumers").json()[0]["consumer_timeout"], 60_000);
    let other = World::new();
    assert_eq!(other.put("queues/%2F/q", &json!({})), 201);
    assert_eq!(other.get("consumers").json()[0]["consumer_timeout"], 9_000, "as configured");
    let memory = world.get("nodes/leveret@localhost/memory").json();
    for key in ["metadata_store", "stream_queue_coordinator_procs", "queue_procs"] {
        assert!(memory["memory"][key].is_u64(), "{key}");
    }
    let node = world.get("nodes/leveret@localhost").json();
    assert_eq!(node["applications"][1]["name"], "rabbit");
    assert_eq!(world.put("feature-flags/all/enable", &json!({})), 204);
}
