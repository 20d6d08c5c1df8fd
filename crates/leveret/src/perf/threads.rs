//! The threads of a run: starting them, noticing the first that fails, ending them all.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;
use hdrhistogram::Histogram;
use leveret_client::Sender;

use super::tally::{Shared, merge};
use super::topology::Topology;

/// How long a failed producer waits for the reason that its reading half may have.
const REASON_WAIT: Duration = Duration::from_millis(200);

/// A thread whose result is fetched as soon as it is there.
#[derive(Debug)]
struct Task<T> {
    handle: Option<JoinHandle<anyhow::Result<T>>>,
    result: Option<T>,
}

impl<T: Send + 'static> Task<T> {
    fn start(
        name: &str,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Task<T>> {
        let handle = Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Task { handle: Some(handle), result: None })
    }

    fn is_running(&self) -> bool {
        self.handle.is_some()
    }

    /// Fetches the result if the thread has ended; an error if it failed.
    fn poll(&mut self) -> anyhow::Result<()> {
        match self.handle.take_if(|handle| handle.is_finished()) {
            Some(handle) => self.join(handle),
            None => Ok(()),
        }
    }

    fn join(&mut self, handle: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<()> {
        self.result = Some(handle.join().map_err(|_| anyhow!("a thread panicked"))??);
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<Option<T>> {
        if let Some(handle) = self.handle.take() {
            self.join(handle)?;
        }
        Ok(self.result)
    }
}

/// All threads of a run.
#[derive(Debug)]
pub(super) struct Threads {
    producers: Vec<Task<()>>,
    settlers: Vec<Task<Histogram<u64>>>,
    consumers: Vec<Task<Histogram<u64>>>,
    sockets: Vec<Sender>,
}

/// Latencies of deliveries and of confirms; none if there was no consumer or no producer.
pub(super) type Merged = (Option<Histogram<u64>>, Option<Histogram<u64>>);

impl Threads {
    /// Connects everything, then starts the clock and the threads.
    pub(super) fn start(
        topology: &Topology<'_>,
        share: impl FnOnce() -> Shared,
    ) -> anyhow::Result<(Threads, Arc<Shared>)> {
        let producers = topology.connect_producers()?;
        let consumers = topology.connect_consumers()?;
        let shared = Arc::new(share());
        let mut threads = Threads {
            producers: Vec::new(),
            settlers: Vec::new(),
            consumers: Vec::new(),
            sockets: Vec::new(),
        };
        for (index, link) in consumers.into_iter().enumerate() {
            let consumer = topology.consumer(link, index, &shared)?;
            threads.sockets.push(consumer.sender.try_clone()?);
            threads.consumers.push(Task::start("consumer", move || consumer.run())?);
        }
        for (index, link) in producers.into_iter().enumerate() {
            let (producer, settler) = topology.producer(link, index, &shared)?;
            threads.sockets.push(producer.sender.try_clone()?);
            let task = Task::start("producer", move || Ok(producer.run()?))?;
            if let Some(handle) = &task.handle {
                let producer = handle.thread().clone();
                threads.settlers.push(Task::start("settler", move || settler.run(&producer))?);
            }
            threads.producers.push(task);
        }
        Ok((threads, shared))
    }

    /// An error if a thread has failed; of a connection's two threads the one that reads knows why.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.check_readers()?;
        for index in 0..self.producers.len() {
            let Some(Err(error)) = self.producers.get_mut(index).map(Task::poll) else { continue };
            std::thread::sleep(REASON_WAIT);
            self.check_readers()?;
            return Err(error);
        }
        Ok(())
    }

    fn check_readers(&mut self) -> anyhow::Result<()> {
        self.settlers.iter_mut().chain(&mut self.consumers).try_for_each(Task::poll)
    }

    /// Whether a producer still has something to send.
    pub(super) fn are_sending(&self) -> bool {
        self.producers.iter().any(Task::is_running)
    }

    /// Ends all sockets and threads; the caller has told them to stop.
    pub(super) fn end(self) -> anyhow::Result<Merged> {
        self.sockets.iter().for_each(Sender::shutdown);
        for task in self.producers {
            task.end()?;
        }
        let fetch = |tasks: Vec<Task<Histogram<u64>>>| {
            let parts: anyhow::Result<Vec<_>> = tasks.into_iter().map(Task::end).collect();
            Ok::<_, anyhow::Error>(merge(parts?.into_iter().flatten().collect()))
        };
        Ok((fetch(self.consumers)?, fetch(self.settlers)?))
    }
}
