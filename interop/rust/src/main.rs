//! The interop flows with lapin and rabbitmq_http_client. Usage: `AMQP_URL=amqp://… leveret-interop [flow …]`

mod access_flows;
mod delivery_flows;
mod harness;
mod http_flows;
mod reliability_flows;
mod routing_flows;
mod tls_flows;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let flows = [
        delivery_flows::FLOWS,
        routing_flows::FLOWS,
        reliability_flows::FLOWS,
        tls_flows::all(),
        access_flows::all(),
        http_flows::all(),
    ];
    harness::run(&flows.concat()).await
}
