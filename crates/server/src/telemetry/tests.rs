//! Spans on their way to a collector that is busy, deaf or not there.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

fn span(telemetry: &Telemetry) -> Span {
    let context = TraceContext { trace: [7; 16], span: [1; 8], flags: 1 };
    Span {
        name: "publish q".to_owned(),
        kind: Kind::Server,
        context: telemetry.below(&context),
        parent: Some(context.span),
        state: None,
        start_ns: 1,
        end_ns: 2,
        attributes: Vec::new(),
        error: None,
    }
}

#[test]
fn traces_begin_as_often_as_asked_for() {
    let begun = |ratio: f64| {
        let telemetry = Telemetry::new(ratio).0;
        (0..10_000).filter_map(|_| telemetry.begin()).count()
    };
    assert_eq!((begun(0.0), begun(1.0)), (0, 10_000));
    let some = begun(0.1);
    assert!((800..1_200).contains(&some), "{some}");
    let telemetry = Telemetry::new(1.0).0;
    let ids: std::collections::HashSet<[u8; 16]> =
        (0..10_000).filter_map(|_| telemetry.begin()).map(|context| context.trace).collect();
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn nobody_waits_where_too_many_spans_wait() {
    let (telemetry, _received) = Telemetry::new(0.0);
    for _ in 0..WAITING_MAX + 5 {
        telemetry.send(span(&telemetry));
    }
    assert_eq!(telemetry.counts(), (0, 5));
}

/// Answers each connection with the next status; what was posted where.
async fn collector(answers: &'static [&'static str]) -> (WebAddress, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let posted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&posted);
    tokio::spawn(async move {
        for status in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(&[0x85, 1, 1, 0, 0, 0]) {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            seen.lock().unwrap().push(request);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (format!("http://127.0.0.1:{port}/base/").parse().unwrap(), posted)
}

fn options(endpoint: WebAddress) -> TelemetryOptions {
    TelemetryOptions { endpoint, sample_ratio: 0.0, service_name: "s".to_owned() }
}

#[tokio::test]
async fn a_batch_is_sent_again_when_the_collector_is_busy() {
    let (address, posted) = collector(&["503", "200", "400"]).await;
    let (telemetry, exporter) = export::Exporter::new(&options(address));
    let end = Arc::new(tokio::sync::Notify::new());
    let task = tokio::spawn(exporter.run(Arc::clone(&end)));
    telemetry.send(span(&telemetry));
    telemetry.send(span(&telemetry));
    let sent = async {
        while telemetry.counts() != (2, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), sent).await.unwrap();
    // What waits at the end is sent at once, and what is refused is not tried again.
    telemetry.send(span(&telemetry));
    end.notify_one();
    timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
    assert_eq!(telemetry.counts(), (2, 1));
    let posted = posted.lock().unwrap();
    assert_eq!(posted.len(), 3);
    assert!(posted[0].starts_with(b"POST /base/v1/traces HTTP/1.1\r\n"));
    let body = |at: usize| posted[at].split(|byte| *byte == b'\n').count();
    assert_eq!(body(0), body(1));
}

#[tokio::test]
async fn without_a_collector_spans_are_dropped_and_the_server_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = format!("http://127.0.0.1:{port}").parse().unwrap();
    let (telemetry, exporter) = export::Exporter::new(&options(address));
    telemetry.send(span(&telemetry));
    let end = Arc::new(tokio::sync::Notify::new());
    end.notify_one();
    timeout(Duration::from_secs(20), exporter.run(end)).await.unwrap();
    assert_eq!(telemetry.counts(), (0, 1));
}
