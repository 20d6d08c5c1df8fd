//! The one way in which the process gives up.

/// Logs the reason and ends the process with exit code 1, at once: nothing is confirmed or written
/// afterwards. For faults after which no promise can be kept, such as a log that cannot be written.
pub(crate) fn die(reason: &str) -> ! {
    tracing::error!(reason, "the broker cannot go on");
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that is to die.
    const VICTIM: &str = "LEVERET_TEST_DIE";

    #[test]
    fn dies_with_exit_code_1() {
        if std::env::var_os(VICTIM).is_some() {
            die("the test says so");
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "fatal::tests::dies_with_exit_code_1"]).env(VICTIM, "1");
        // A test that failed would end its process with 101.
        assert_eq!(again.output().unwrap().status.code(), Some(1));
    }
}
