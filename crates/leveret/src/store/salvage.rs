//! `leveret store salvage`: what can be read, into a file of JSON lines, another broker, or both.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use leveret_server::durable_tools::{ReadMessage, Salvage, Salvaged};

use super::publish::{Counts, Publisher};
use super::{Directory, json, list};

/// Arguments of `leveret store salvage`.
#[derive(Args)]
#[group(id = "target", required = true, multiple = true, args = ["out", "publish"])]
pub struct SalvageArgs {
    #[command(flatten)]
    directory: Directory,

    /// Write definitions and messages to this new file, as one JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Publish the messages to the queues of the same names at this broker and vhost. The queues
    /// must be there; nothing is declared.
    #[arg(long, value_name = "amqp://USER:PASSWORD@HOST/VHOST")]
    publish: Option<String>,
}

/// Where messages go.
struct Targets {
    file: Option<(BufWriter<File>, PathBuf)>,
    publisher: Option<Publisher>,
}

/// Gets out what can be read.
pub(super) fn run(arguments: &SalvageArgs) -> anyhow::Result<ExitCode> {
    let path = arguments.directory.existing()?;
    let file = match &arguments.out {
        Some(out) => Some((BufWriter::new(create(out, &path)?), out.clone())),
        None => None,
    };
    let publisher = arguments.publish.as_deref().map(Publisher::connect).transpose()?;
    let mut targets = Targets { file, publisher };
    let salvage = Salvage::open(&path);
    for definition in &salvage.definitions().all {
        targets.write(&json::definition(definition))?;
    }
    let mut failure = None;
    let salvaged = salvage.messages(&mut |message| match targets.take(&message) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    let ended = failure.map_or(Ok(()), Err).and_then(|()| targets.end());
    crate::print(&report(&path, &salvage, &salvaged))?;
    if let Some(counts) = ended? {
        crate::print(&published(&counts))?;
        ensure!(counts.returned + counts.refused == 0, "not all messages could be published");
    }
    Ok(ExitCode::SUCCESS)
}

/// The file for the messages. It must be new, and not in the directory that is looked at.
fn create(out: &Path, data_dir: &Path) -> anyhow::Result<File> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    let parent = parent.with_context(|| format!("the directory of {}", out.display()))?;
    let inside = parent.starts_with(data_dir.canonicalize()?);
    ensure!(!inside, "{} is in the data directory, which is left alone", out.display());
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    file.with_context(|| format!("creating {}", out.display()))
}

impl Targets {
    fn write(&mut self, value: &serde_json::Value) -> anyhow::Result<()> {
        if let Some((file, path)) = &mut self.file {
            let written = serde_json::to_writer(&mut *file, value).map_err(std::io::Error::from);
            let written = written.and_then(|()| file.write_all(b"\n"));
            written.with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    fn take(&mut self, message: &ReadMessage) -> anyhow::Result<()> {
        if self.file.is_some() {
            self.write(&json::message(message))?;
        }
        self.publisher.as_mut().map_or(Ok(()), |publisher| publisher.publish(message))
    }

    /// Makes the file durable and waits for the last confirms.
    fn end(self) -> anyhow::Result<Option<Counts>> {
        if let Some((file, path)) = self.file {
            let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
            let synced = file.and_then(|file| file.sync_all());
            synced.with_context(|| format!("writing {}", path.display()))?;
        }
        let Some(mut publisher) = self.publisher else { return Ok(None) };
        publisher.settle()?;
        publisher.close().map(Some)
    }
}

fn report(path: &Path, salvage: &Salvage, salvaged: &Salvaged) -> String {
    let definitions = salvage.definitions();
    let mut text = list(salvage.findings());
    text.push_str(&list(&salvaged.findings));
    definitions.faults.iter().for_each(|fault| text.push_str(&format!("DAMAGE      {fault}\n")));
    if !salvage.is_by_manifest() {
        text.push_str("without a manifest some of the messages may have been consumed\n");
    }
    text.push_str(&format!(
        "{}: {} definitions and {} messages were read ({} of them may have been consumed), {} \
         messages cannot be read\n",
        path.display(),
        definitions.all.len(),
        salvaged.messages,
        salvaged.uncertain,
        salvaged.lost,
    ));
    text
}

fn published(counts: &Counts) -> String {
    let mut text = format!("{} messages were published and confirmed", counts.published);
    let others = [
        (counts.returned, "had no queue there"),
        (counts.refused, "were refused"),
        (counts.elsewhere, "are of another vhost"),
        (counts.nameless, "are of a queue whose name is lost"),
    ];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {what}"));
    }
    text.push('\n');
    for queue in &counts.missing {
        text.push_str(&format!("there is no queue `{queue}`\n"));
    }
    text
}
