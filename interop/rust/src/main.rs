//! The interop flows with lapin. Usage: `AMQP_URL=amqp://… leveret-interop [flow …]`

mod delivery_flows;
mod harness;
mod reliability_flows;
mod routing_flows;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let flows = [delivery_flows::FLOWS, routing_flows::FLOWS, reliability_flows::FLOWS];
    harness::run(&flows.concat()).await
}
