//! The start of the process. Everything else is in the library.

mod host_names;

use std::process::ExitCode;

fn main() -> ExitCode {
    host_names::configure();
    leveret::run()
}
