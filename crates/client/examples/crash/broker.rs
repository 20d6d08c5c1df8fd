//! The broker under test: started on the same data, killed, started again.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a broker may take to get ready, or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, Clone)]
pub enum Program {
    /// Leveret's binary, and `--set` for each of these.
    Leveret(PathBuf, Vec<String>),
    /// RabbitMQ's server script.
    RabbitMq(PathBuf),
}

/// A broker that keeps its directory from one life to the next.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    directory: PathBuf,
    port: u16,
    distribution_port: u16,
    child: Option<Child>,
    lives: u32,
}

impl Broker {
    /// A broker that is not started, with its data below `directory`.
    pub fn new(program: Program, directory: &Path) -> anyhow::Result<Broker> {
        let port = free_port()?;
        let held = TcpListener::bind(("127.0.0.1", port))?;
        let distribution_port = free_port()?;
        drop(held);
        let directory = directory.to_owned();
        Ok(Broker { program, directory, port, distribution_port, child: None, lives: 0 })
    }

    /// Where clients connect.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Starts it; returns how long it took until it was ready.
    pub fn start(&mut self) -> anyhow::Result<Duration> {
        self.lives += 1;
        let output = self.output_path();
        let log = File::create(&output)?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
        self.child = Some(child);
        while !self.is_ready() {
            if let Some(status) = self.ended()? {
                bail!("the broker ended with {status} before it was ready:\n{}", self.output());
            }
            ensure!(started.elapsed() < PATIENCE, "the broker is not ready:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(started.elapsed())
    }

    fn command(&self) -> Command {
        match &self.program {
            Program::Leveret(binary, settings) => {
                let mut command = Command::new(binary);
                command.arg("server").arg("--data-dir").arg(self.directory.join("data"));
                command.arg("--amqp-listen").arg(format!("127.0.0.1:{}", self.port));
                for setting in settings {
                    command.arg("--set").arg(setting);
                }
                command
            }
            Program::RabbitMq(script) => {
                let mut command = Command::new(script);
                let (port, directory) = (self.port, &self.directory);
                command.env("HOME", directory);
                command.env("RABBITMQ_NODENAME", format!("crash-{port}@localhost"));
                command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
                command.env("RABBITMQ_NODE_PORT", port.to_string());
                command.env("RABBITMQ_DIST_PORT", self.distribution_port.to_string());
                command.env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"));
                command.env("RABBITMQ_LOG_BASE", directory.join("log"));
                command.env("RABBITMQ_PID_FILE", directory.join("pid"));
                command.env("RABBITMQ_CONFIG_FILE", directory.join("none"));
                command.env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"));
                command
            }
        }
    }

    /// Whether it says so; RabbitMQ, which does not, whether it listens.
    fn is_ready(&self) -> bool {
        match self.program {
            Program::Leveret(..) => self
                .output()
                .lines()
                .any(|line| line.starts_with("ready ") && line.contains("amqp=")),
            Program::RabbitMq(_) => TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
        }
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { bail!("the broker is not started") };
        Ok(child.try_wait()?)
    }

    fn output_path(&self) -> PathBuf {
        self.directory.join(format!("output-{}.txt", self.lives))
    }

    /// The end of what it said in this life.
    pub fn output(&self) -> String {
        let text = std::fs::read(self.output_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("-KILL")?;
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.wait()?;
        // The next life gets a log of its own; this one's is of no use if all went well.
        let _ = std::fs::remove_file(self.output_path());
        Ok(())
    }

    /// Asks it to stop, and waits; a failure if it does not end well.
    pub fn stop(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.signal("-TERM")?;
        let Some(child) = &mut self.child else { return Ok(Duration::ZERO) };
        loop {
            if let Some(status) = child.try_wait()? {
                let leveret = matches!(self.program, Program::Leveret(..));
                ensure!(status.success() || !leveret, "the broker stopped with {status}");
                self.child = None;
                return Ok(started.elapsed());
            }
            ensure!(started.elapsed() < PATIENCE, "the broker does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let told = std::fs::read_to_string(self.directory.join("pid")).ok();
        // RabbitMQ's script is not the broker itself.
        let pid = told.map_or_else(|| child.id().to_string(), |pid| pid.trim().to_owned());
        let status = Command::new("kill").arg(signal).arg(&pid).status()?;
        ensure!(status.success(), "kill {signal} {pid}: {status}");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some()
            && self.signal("-KILL").is_ok()
            && let Some(child) = &mut self.child
        {
            let _ = child.wait();
        }
    }
}

/// A free port below those that the system gives to outgoing connections: one of these could take
/// it while the broker is down, or, trying to reach a broker that is not there yet, meet itself.
fn free_port() -> anyhow::Result<u16> {
    let first = std::process::id() as u16 % 20_000;
    let mut candidates = (0..20_000).map(|step| 10_000 + (first + step) % 20_000);
    let free = candidates.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.context("no port is free")
}
