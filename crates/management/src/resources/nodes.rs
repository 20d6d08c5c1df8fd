//! `/nodes`: the process and its machine. There is one node.

use leveret_broker::definitions::CLUSTER_NAME;
use serde_json::{Map, Value, json};

use super::overview::{RABBITMQ_VERSION, exchange_types};
use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Administrator, Management, Monitoring};
use crate::list;
use crate::request::{Call, text};
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "nodes", Monitoring, all),
    route("GET", "nodes/*", Monitoring, one),
    route("GET", "nodes/*/memory", Monitoring, memory),
    route("GET", "cluster-name", Management, cluster_name),
    route("PUT", "cluster-name", Administrator, set_cluster_name),
];

fn details(number: u64) -> (Value, Value) {
    (json!(number), json!({ "rate": 0.0 }))
}

fn render(call: &Call<'_>) -> Map<String, Value> {
    let app = call.app;
    let facts = app.node.facts();
    let mechanism = |name: &str| json!({ "name": name, "description": name, "enabled": true });
    let sockets = app.node.connection_count() as u64;
    let value = json!({
        "name": app.node_name, "type": "disc", "running": true, "being_drained": false,
        "os_pid": std::process::id().to_string(), "uptime": facts.uptime_ms, "run_queue": 0,
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "fd_total": facts.files.1, "sockets_total": facts.connection_max,
        "proc_total": 1_048_576, "mem_limit": facts.memory.1, "mem_alarm": facts.memory_alarm,
        "disk_free_limit": facts.disk_free.1, "disk_free_alarm": facts.disk_alarm,
        "rates_mode": "basic", "partitions": [], "exchange_types": exchange_types(),
        "auth_mechanisms": [mechanism("PLAIN"), mechanism("AMQPLAIN")],
        "applications": [
            { "name": "leveret", "description": "Leveret", "version": facts.version },
            // By which tools tell the version of the interface.
            {
                "name": "rabbit", "description": "The interface of RabbitMQ",
                "version": RABBITMQ_VERSION,
            },
        ],
        "contexts": [], "cluster_links": [], "log_files": ["<stderr>"], "config_files": [],
        "db_dir": facts.data_dir, "net_ticktime": 60, "metrics_gc_queue_length": {},
        "enabled_plugins": ["rabbitmq_management"], "message_memory": facts.memory.0,
        "management_version": RABBITMQ_VERSION,
        "mem_calculation_strategy": "rss", "ra_open_file_metrics": {},
    });
    let Value::Object(mut fields) = value else { return Map::new() };
    for (name, number) in [
        ("mem_used", facts.resident_bytes),
        ("fd_used", facts.files.0),
        ("sockets_used", sockets),
        ("proc_used", sockets),
        ("disk_free", facts.disk_free.0),
    ] {
        let (number, rate) = details(number);
        fields.insert(name.to_owned(), number);
        fields.insert(format!("{name}_details"), rate);
    }
    fields
}

fn all(call: &Call<'_>) -> Outcome {
    list::whole(call, vec![Value::Object(render(call))])
}

/// Refuses another node than this one.
fn check(call: &Call<'_>) -> Result<(), Answer> {
    if call.name(0) == call.app.node_name { Ok(()) } else { Err(Answer::not_found()) }
}

fn one(call: &Call<'_>) -> Outcome {
    check(call)?;
    list::one(call, Value::Object(render(call)))
}

fn memory(call: &Call<'_>) -> Outcome {
    check(call)?;
    let facts = call.app.node.facts();
    let (resident, messages) = (facts.resident_bytes, facts.memory.0);
    let other = resident.saturating_sub(messages);
    Ok(Answer::json(&json!({ "memory": {
        "connection_readers": 0, "connection_writers": 0, "connection_channels": 0,
        "connection_other": 0, "queue_procs": messages, "queue_slave_procs": 0,
        "quorum_queue_procs": 0, "stream_queue_procs": 0, "stream_queue_coordinator_procs": 0,
        "stream_queue_replica_reader_procs": 0, "metadata_store": 0, "metadata_store_ets": 0,
        "plugins": 0, "other_proc": other,
        "metrics": 0, "mgmt_db": 0, "mnesia": 0, "quorum_ets": 0, "other_ets": 0, "binary": 0,
        "msg_index": 0, "code": 0, "atom": 0, "other_system": 0, "allocated_unused": 0,
        "reserved_unallocated": 0, "strategy": "rss",
        "total": { "erlang": resident, "rss": resident, "allocated": resident },
    }})))
}

fn cluster_name(call: &Call<'_>) -> Outcome {
    Ok(Answer::json(&json!({ "name": call.app.node.facts().cluster_name })))
}

/// Sets what the global parameter of that name says; without it the configuration does.
fn set_cluster_name(call: &Call<'_>) -> Outcome {
    let fields = call.object_with(&["name"])?;
    let name = text(&fields, "name")?;
    let (_, position) = call.app.broker().put_global_parameter(CLUSTER_NAME, &json!(name))?;
    call.audit("cluster name set", name);
    Ok(Answer::done(position))
}
