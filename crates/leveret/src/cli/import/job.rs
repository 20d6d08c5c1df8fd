//! The queues of the source, and what is to be done with each.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli::api::{Client, Target};

/// How many bytes of messages may be on their way.
const WINDOW_BYTES: u64 = 32 << 20;
/// How many messages may be on their way.
const WINDOW_MESSAGES: u64 = 500;

/// A queue whose messages are to be taken.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) vhost: String,
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) exclusive: bool,
    pub(super) ready: u64,
    pub(super) unacked: u64,
    pub(super) bytes: u64,
}

impl Job {
    fn read(queue: &Value) -> Self {
        let text = |key: &str| queue[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| queue[key].as_u64().unwrap_or_default();
        Self {
            vhost: text("vhost"),
            queue: text("name"),
            kind: text("type"),
            exclusive: queue["exclusive"] == true,
            ready: number("messages_ready"),
            unacked: number("messages_unacknowledged"),
            bytes: number("message_bytes"),
        }
    }

    /// How many messages the source says there are.
    pub(super) fn messages(&self) -> u64 {
        self.ready + self.unacked
    }

    /// Why its messages cannot be taken, if so.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        match (self.exclusive, self.kind.as_str()) {
            (true, _) => Some("not taken: it belongs to one connection"),
            (_, "stream") => Some("not taken: a stream cannot be drained"),
            _ => None,
        }
    }

    /// How many messages to have on their way: fewer if they are large.
    pub(super) fn window(&self) -> u16 {
        let average = self.bytes / self.messages().max(1);
        let window = (WINDOW_BYTES / average.max(1)).clamp(1, WINDOW_MESSAGES);
        u16::try_from(window).unwrap_or(1)
    }
}

/// The queues of a vhost, or of all.
pub(super) fn all(source: &Client, vhost: Option<&str>) -> anyhow::Result<Vec<Job>> {
    let mut path = vec!["queues"];
    path.extend(vhost);
    let columns = "vhost,name,type,exclusive,messages_ready,messages_unacknowledged,message_bytes";
    let what = format!("vhost `{}` at the source", vhost.unwrap_or_default());
    let queues = source.get(&Target::new(what, &path).query("columns", columns))?;
    Ok(queues.as_array().into_iter().flatten().map(Job::read).collect())
}

/// Their vhosts.
pub(super) fn vhosts(jobs: &[Job]) -> BTreeSet<&str> {
    jobs.iter().map(|job| job.vhost.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_have_a_small_window() {
        let job = |ready, bytes| Job { ready, bytes, ..Job::default() };
        assert_eq!(job(0, 0).window(), 500);
        assert_eq!(job(1000, 1000 << 10).window(), 500);
        assert_eq!(job(10, 10 << 20).window(), 32);
        assert_eq!(job(2, 1 << 30).window(), 1);
    }
}
