//! What a store would find on opening a directory, with what is wrong in it set down instead of
//! being the end.

use bytes::Bytes;

use super::read_only::ReadOnly;
use super::{Finding, Severity};
use crate::disk::Disk;
use crate::error::OpenError;
use crate::index::{Index, Segments};
use crate::log::batch;
use crate::log::ring::{self, LogFile};
use crate::log::scan::{Scan, Scanned};
use crate::manifest::{self, MANIFEST, Manifest, ManifestError, SegmentEntry};
use crate::report::{Damage, Report};
use crate::segment;
use crate::store::open::{Replay, open_segment};

/// Everything that a manifest leads to.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) manifest: Manifest,
    pub(super) index: Index,
    pub(super) segments: Segments,
    pub(super) log: Scanned,
    pub(super) report: Report,
    /// The snapshot of the definitions, if there is one that can be read.
    pub(super) definitions: Option<Bytes>,
    /// The changes behind it.
    pub(super) changes: Vec<Bytes>,
    pub(super) findings: Vec<Finding>,
}

/// The manifest; what is wrong with it if it cannot be had.
pub(super) fn read_manifest(disk: &ReadOnly<'_>) -> Result<Manifest, Finding> {
    match Manifest::read(disk) {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => {
            let used = |dir| disk.list(dir).is_ok_and(|names| !names.is_empty());
            Err(if used(ring::DIR) || used(segment::DIRECTORY) {
                let what = "it is missing: which messages are needed cannot be told";
                Finding::damage(MANIFEST, what)
            } else {
                Finding::new(Severity::Unreadable, MANIFEST, "this is no data directory")
            })
        }
        Err(error) => Err(match error {
            ManifestError::Damaged { what, .. } => Finding::damage(MANIFEST, what),
            other => Finding::new(Severity::Unreadable, MANIFEST, other),
        }),
    }
}

/// How bad an error is that would end a start.
fn severity(error: &OpenError) -> Severity {
    match error {
        OpenError::Damaged { .. } | OpenError::Foreign { .. } => Severity::Damage,
        _ => Severity::Unreadable,
    }
}

/// What an error says, without what only holds for a start.
fn text(error: &OpenError) -> String {
    match error {
        OpenError::Damaged { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

impl Contents {
    /// Finds everything that `manifest` leads to.
    pub(super) fn find(disk: &ReadOnly<'_>, manifest: Manifest) -> Self {
        let mut contents = Self::default();
        contents.index.begin(&manifest);
        if let Some(file) = &manifest.definitions {
            match manifest::read_definitions(disk, file.number) {
                Ok(bytes) => contents.definitions = Some(bytes),
                Err(error) => {
                    let name = manifest::definitions_name(file.number);
                    contents.findings.push(Finding::damage(name, error));
                }
            }
        }
        for entry in &manifest.segments {
            contents.find_segment(disk, entry);
        }
        contents.report.segments = contents.segments.len() as u64;
        contents.scan(disk, &manifest);
        contents.manifest = manifest;
        contents.name_damages();
        contents
    }

    fn find_segment(&mut self, disk: &ReadOnly<'_>, entry: &SegmentEntry) {
        let before = self.report.damages.len();
        let opened = open_segment(disk, entry, &mut self.index, &mut self.report);
        let file = segment::file_name(entry.id);
        // Told here, with the file's name.
        for damage in self.report.damages.split_off(before) {
            self.findings.push(match damage {
                Damage::Messages { queue, first, last } => {
                    Finding::damage(&file, "it no longer has them").of(queue, first, last)
                }
                Damage::SegmentIndex { why, .. } => Finding::damage(&file, why),
                other => Finding::damage(&file, other),
            });
        }
        match opened {
            Ok(held) => drop(self.segments.insert(entry.id, held)),
            Err(error) => {
                self.findings.push(Finding::new(severity(&error), &file, text(&error)));
                for run in &entry.runs {
                    let finding = Finding::damage(&file, "messages are in it alone");
                    self.findings.push(finding.of(run.queue, run.first, run.last));
                }
            }
        }
    }

    fn scan(&mut self, disk: &ReadOnly<'_>, manifest: &Manifest) {
        let mut replay = Replay::new(manifest, &mut self.index, &mut self.segments);
        let mut apply = |batch, offset, len, record| replay.apply(batch, offset, len, record);
        let findings = &mut self.findings;
        let mut refuse = |error: OpenError| {
            findings.push(Finding::new(severity(&error), ring::DIR, text(&error)));
            Ok(())
        };
        let (store_id, from, report) = (manifest.store_id, manifest.replay_from, &mut self.report);
        let scan = Scan { store_id, from, apply: &mut apply, refuse: &mut refuse, report };
        // Nothing is refused for good, so there is no error.
        self.log = scan.run(disk).unwrap_or_default();
        self.changes = replay.changes;
    }

    /// Makes findings of the damages of the log, and of what only a person can judge.
    fn name_damages(&mut self) {
        let damages = std::mem::take(&mut self.report.damages);
        let file_of = |batch: u64| {
            let before = self.log.files.iter().rev().find(|file| file.first <= batch);
            before.map_or(ring::DIR.to_owned(), |file| ring::name(file.handles.id))
        };
        for damage in &damages {
            let file = match damage {
                Damage::LogHeader { file } => ring::name(*file),
                Damage::LogBatch { batch, .. } | Damage::LogRecord { batch, .. } => file_of(*batch),
                Damage::LogBatches { first, .. } => file_of(*first),
                _ => ring::DIR.to_owned(),
            };
            let harm = match damage {
                Damage::LogHeader { .. } => "its batches were found without it",
                _ => "messages, or the settling of messages, may be lost",
            };
            self.findings.push(Finding::damage(file, format!("{damage}; {harm}")));
        }
        self.report.damages = damages;
        if let Some((batch, bytes)) = self.report.torn {
            let what = format!(
                "the log ends with batch {batch} ({bytes} bytes), which is not whole: it was never \
                 confirmed if a crash cut it"
            );
            let last = self.last_file().map(|file| ring::name(file.handles.id));
            self.findings.push(Finding::note(last.unwrap_or(ring::DIR.to_owned()), what));
        }
        for unused in self.log.unused.iter().filter(|unused| unused.headless) {
            let what = "its header is damaged, and its only batch is not used; it may have been \
                        confirmed";
            self.findings.push(Finding::damage(ring::name(unused.file.handles.id), what));
        }
        let ends = self.log.unused.iter().map(|unused| &unused.file).chain(self.log.files.back());
        self.findings.extend(ends.filter_map(damaged_end));
        self.findings.extend(self.missing_end());
    }

    /// The file with the end of the log.
    fn last_file(&self) -> Option<&LogFile> {
        self.log.unused.last().map(|unused| &unused.file).or(self.log.files.back())
    }

    /// The manifest is written once everything before `replay_from` is durable, and the file with
    /// the last batch is never given back: a log that ends before it lacks that file.
    fn missing_end(&self) -> Option<Finding> {
        let from = self.manifest.replay_from;
        let is_gone = self.log.files.is_empty() && self.log.unused.is_empty() && from > 1;
        (is_gone || self.log.next < from).then(|| {
            let what = format!("it does not reach batch {from}, where it should begin to count");
            Finding::damage(ring::DIR, format!("{what}: a file is missing"))
        })
    }

    /// Whether the settling of a message may be unknown, because parts of the log are.
    pub(super) fn log_is_whole(&self) -> bool {
        let is_log = |finding: &Finding| finding.file.starts_with(ring::DIR);
        !self.findings.iter().any(|one| is_log(one) && one.severity > Severity::Note)
    }
}

/// A header behind the last batch that is nearly one. A sector is written whole or not at all, so
/// no crash leaves such a one.
fn damaged_end(file: &LogFile) -> Option<Finding> {
    let (head, _) = segment::read_through(&*file.handles.read, file.end, batch::HEADER_LEN);
    batch::is_damaged_header(&head, file.epoch).then(|| {
        let what = format!(
            "the header of a batch at {} is damaged; batch {} may have been confirmed",
            file.end,
            file.next()
        );
        Finding::damage(ring::name(file.handles.id), what)
    })
}
