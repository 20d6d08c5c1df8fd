//! Pages of a server with objects of awkward names, read by a strict parser.

mod parser;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use leveret_broker::auth::Cost;
use leveret_broker::broker::{Broker, Principal, QueueRequest};
use leveret_broker::ids::Timestamp;
use leveret_broker::log::NoLog;
use leveret_broker::message::FieldTable;

use super::pages::{self, Chosen};
use super::{Wanted, wanted};
use crate::doorway::Port;
use crate::tests::world::{Stage, exchange};
use parser::{Family, parse};

const NAMES: [&str; 4] = ["plain", "q\"uote\\", "back\\slash\\n", "\u{5d0}{b=\"c\"} # 1"];
const VHOST: &str = "line\nend \"v\\";

/// A server with two vhosts and awkward queues in each.
fn stage() -> Stage {
    let broker = Broker::new(Arc::new(NoLog::default()), [7; 32]);
    broker.set_password_cost(Cost::LEAST);
    for vhost in ["/", VHOST] {
        broker.add_vhost(vhost);
        broker.put_administrator("admin", "admin", vhost).unwrap();
        declare(&broker, vhost, &NAMES);
    }
    Stage { broker }
}

fn declare(broker: &Broker, vhost: &str, names: &[&str]) {
    let who = Principal::new(broker.new_connection()).in_vhost("admin", vhost);
    for name in names {
        let request = QueueRequest {
            name,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
        };
        broker.declare_queue(&who, request, Timestamp(5)).unwrap();
    }
}

fn chosen(families: &[&str], vhosts: &[&str]) -> Chosen {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Chosen { families: owned(families), vhosts: owned(vhosts) }
}

/// The values of a label.
fn values<'a>(
    families: &'a BTreeMap<String, Family>,
    name: &str,
    label: &str,
) -> BTreeSet<&'a str> {
    let labels = families[name].samples.iter().flat_map(|(_, labels, _)| labels);
    labels.filter(|(name, _)| name == label).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn every_page_is_in_the_format() {
    let stage = stage();
    let all = parse(&pages::aggregated(&stage).unwrap());
    assert_eq!(all["rabbitmq_queues"].samples[0].2, 8.0);
    assert_eq!(all["leveret_spans_sent_total"].samples[0].2, 5.0);
    assert_eq!(all["leveret_spans_dropped_total"].samples[0].2, 7.0);
    assert_eq!(all["rabbitmq_queue_messages_ready"].samples.len(), 1);
    let objects = parse(&pages::per_object(&stage).unwrap());
    let ready = &objects["rabbitmq_queue_messages_ready"];
    assert_eq!(ready.samples.len(), 8);
    // What was escaped is the name again.
    assert_eq!(values(&objects, "rabbitmq_queue_messages_ready", "queue"), NAMES.into());
    assert_eq!(values(&objects, "rabbitmq_queue_messages_ready", "vhost"), ["/", VHOST].into());
    let published = &objects["rabbitmq_channel_messages_published_total"];
    let name = "127.0.0.1:40000 -> 127.0.0.1:5672 (1)".to_owned();
    assert_eq!(published.samples[0].1[0], ("channel".to_owned(), name));
    assert_eq!(published.samples[0].2, 3.0);
    for (name, family) in &all {
        if let Some(other) = objects.get(name) {
            assert_eq!(family.kind, other.kind, "{name}");
        }
    }
}

#[test]
fn what_dashboards_ask_for_is_there() {
    let all = parse(&pages::aggregated(&stage()).unwrap());
    let names = include_str!("dashboard_names.txt");
    let names = names.lines().filter(|line| !line.starts_with('#'));
    for line in names {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let family = all.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.kind, kind, "{name}");
        // A join by instance needs one sample, or as many as there are of the labels.
        assert_eq!(family.samples.len(), 1, "{name}");
        let labels: Vec<&str> = family.samples[0].1.iter().map(|(name, _)| name.as_str()).collect();
        for label in words.next().unwrap_or("").split(',').filter(|label| !label.is_empty()) {
            assert!(labels.contains(&label), "{name} has no {label}");
        }
    }
}

#[test]
fn details_are_of_the_chosen_families_and_vhosts() {
    let stage = stage();
    let page = |families: &[&str], vhosts: &[&str]| {
        parse(&pages::detailed(&stage, &chosen(families, vhosts)).unwrap())
    };
    let nothing = page(&[], &[]);
    assert_eq!(nothing.len(), 2, "only who it is: {:?}", nothing.keys());
    let unknown = page(&["no_such_metrics"], &["nowhere"]);
    assert_eq!(unknown.len(), 2);
    let one = page(&["queue_coarse_metrics"], &[VHOST, "nowhere"]);
    assert_eq!(one["rabbitmq_detailed_queue_messages"].samples.len(), 4);
    assert_eq!(values(&one, "rabbitmq_detailed_queue_messages", "vhost"), [VHOST].into());
    assert!(!one.contains_key("rabbitmq_detailed_queue_consumers"));
    let both = page(&["queue_metrics", "queue_consumer_count", "queue_metrics"], &[]);
    assert_eq!(both["rabbitmq_detailed_queue_consumers"].samples.len(), 8);
    let others = [
        "exchange_bindings",
        "exchange_names",
        "exchange_metrics",
        "vhost_status",
        "node_metrics",
        "node_coarse_metrics",
        "connection_churn_metrics",
        "connection_metrics",
        "channel_metrics",
        "connection_coarse_metrics",
        "channel_queue_metrics",
        "channel_exchange_metrics",
    ];
    for family in others {
        assert!(page(&[family], &[]).len() > 2, "{family}");
    }
    let bindings = page(&["exchange_bindings"], &["/"]);
    let names = values(&bindings, "rabbitmq_cluster_exchange_bindings", "exchange");
    assert!(names.contains("amq.topic") && !names.contains(""));
    assert!(
        page(&["channel_metrics"], &[VHOST])["rabbitmq_detailed_channel_consumers"]
            .samples
            .is_empty()
    );
}

#[test]
fn parameters_have_bounds() {
    let query = |name: &str, count: usize| vec![format!("{name}=x"); count].join("&");
    let detailed = |query: String| wanted("/metrics/detailed", &query);
    assert!(matches!(detailed(query("family", 64)), Ok(Wanted::Detailed(_))));
    assert_eq!(detailed(query("family", 65)).unwrap_err().0, 400);
    assert!(matches!(detailed(query("vhost", 256)), Ok(Wanted::Detailed(_))));
    assert_eq!(detailed(query("vhost", 257)).unwrap_err().0, 400);
    assert_eq!(detailed("vhost=%ff".to_owned()).unwrap_err().0, 400);
    let Ok(Wanted::Detailed(chosen)) = detailed("family=a&vhost=%2F&vhost=b+c".to_owned()) else {
        panic!("a good query");
    };
    assert_eq!(
        (chosen.families, chosen.vhosts),
        (vec!["a".to_owned()], vec!["/".to_owned(), "b c".to_owned()])
    );
    assert!(matches!(wanted("/metrics/", ""), Ok(Wanted::Aggregated)));
    assert_eq!(wanted("/", "").unwrap_err().0, 404);
}

#[test]
fn the_port_answers_get_and_head_to_everybody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(crate::serve_metrics(vec![Port::open(listener)], Arc::new(stage())));
    let ask = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        exchange(address, &request)
    };
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_metrics"] {
        let page = ask("GET", path);
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!((page.status, page.header("content-type")), (200, Some(kind)), "{path}");
        parse(&page.body);
        let head = ask("HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    assert_eq!(ask("POST", "/metrics").status, 405);
    assert_eq!(ask("GET", "/api/overview").status, 404);
    assert_eq!(ask("GET", "/metrics/detailed?family=%zz").status, 400);
}

/// Prints how long a page of many queues takes. In an optimised build there are 20,000, and it is
/// held to what docs/metrics.md promises.
#[test]
fn a_page_of_many_queues_is_quick() {
    let (count, most) = if cfg!(debug_assertions) { (1_000, 2_000) } else { (20_000, 100) };
    let stage = stage();
    let names: Vec<String> = (0..count).map(|number| format!("queue-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    declare(&stage.broker, "/", &names);
    let started = Instant::now();
    let page = pages::aggregated(&stage).unwrap();
    let taken = started.elapsed();
    let mut told = std::io::stderr();
    writeln!(told, "{count} queues added up: {} bytes in {taken:?}", page.len()).unwrap();
    assert!(taken.as_millis() < most, "{taken:?}");
    let started = Instant::now();
    let page = pages::per_object(&stage).unwrap();
    let taken = started.elapsed();
    writeln!(told, "{count} queues each: {} bytes in {taken:?}", page.len()).unwrap();
    assert_eq!(parse(&page)["rabbitmq_queue_messages"].samples.len(), count + 8);
}
