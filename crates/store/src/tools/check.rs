//! Verifies a data directory: reads everything that is live.
//!
//! Invariant: damage of what somebody needs is [`Severity::Damage`](super::Severity), and of what
//! nobody needs a note.

use std::collections::BTreeSet;

use super::Finding;
use super::contents::{Contents, read_manifest};
use super::read_only::ReadOnly;
use crate::disk::Disk;
use crate::index::queue::Whereabouts;
use crate::log::ring;
use crate::manifest::{MANIFEST, definitions_name};
use crate::segment::{self, DIRECTORY, Damage};
use crate::store::upkeep::QUARANTINE;
use crate::{QueueId, Seq};

/// Files of the data directory itself that are always in order.
const KNOWN: [&str; 5] = [MANIFEST, "lock", ring::DIR, DIRECTORY, QUARANTINE];

/// How many findings of one kind are told of one file; many more say no more.
const FINDINGS_MAX: usize = 1000;

/// Verifies a data directory, and tells what is worth to be told. It changes nothing; of one that
/// is in use it may find things that are on their way.
pub fn check(disk: &dyn Disk) -> Vec<Finding> {
    let disk = ReadOnly(disk);
    let mut findings = Vec::new();
    if let Ok(Some(holder)) = disk.holder() {
        let what = format!("in use by {holder}: what follows may only be on its way");
        findings.push(Finding::note("lock", what));
    }
    match read_manifest(&disk) {
        Ok(manifest) => {
            let mut contents = Contents::find(&disk, manifest);
            findings.append(&mut contents.findings);
            for id in contents.segments.keys() {
                check_segment(&disk, &contents, *id, &mut findings);
            }
            unnamed(&disk, &contents, &mut findings);
        }
        Err(finding) => {
            findings.push(finding);
            // What is needed is not known: what is damaged at all is told.
            for id in segment::list(&disk).unwrap_or_default() {
                match segment::check(&disk, id) {
                    Ok(damages) => findings.extend(
                        damages.iter().map(|damage| Finding::note(segment::file_name(id), damage)),
                    ),
                    Err(error) => findings.push(Finding::damage(segment::file_name(id), error)),
                }
            }
        }
    }
    findings
}

/// Reads all records of a segment that is open.
fn check_segment(disk: &ReadOnly<'_>, contents: &Contents, id: u64, findings: &mut Vec<Finding>) {
    let file = segment::file_name(id);
    let damages =
        match segment::check_records(disk, id, &|queue, seq| is_live(contents, id, queue, seq)) {
            Ok(damages) => damages,
            Err(error) => {
                findings.push(Finding::damage(file, error));
                return;
            }
        };
    for damage in damages.iter().take(FINDINGS_MAX) {
        let Damage::Record { queue, seq, what, .. } = damage else { continue };
        let finding = if is_live(contents, id, *queue, *seq) {
            Finding::damage(&file, what)
        } else {
            Finding::note(&file, format!("{what}, in what nobody needs"))
        };
        findings.push(finding.of(*queue, *seq, *seq));
    }
    if let Some(more) = damages.len().checked_sub(FINDINGS_MAX).filter(|more| *more > 0) {
        findings.push(Finding::damage(&file, format!("{more} more messages are damaged")));
    }
}

/// Whether a message lives in this segment.
fn is_live(contents: &Contents, segment: u64, queue: QueueId, seq: Seq) -> bool {
    let Some(queue) = contents.index.queues.get(&queue) else { return false };
    match queue.next(seq, seq) {
        Some((_, Whereabouts::Run(level, first))) => {
            queue.runs.get(&(level, first)).is_some_and(|run| run.segment() == segment)
        }
        _ => false,
    }
}

/// Tells of files that nothing names.
fn unnamed(disk: &ReadOnly<'_>, contents: &Contents, findings: &mut Vec<Finding>) {
    let manifest = &contents.manifest;
    let definitions = manifest.definitions.map(|file| definitions_name(file.number));
    let is_known = |name: &str| KNOWN.contains(&name) || definitions.as_deref() == Some(name);
    for name in disk.list("").unwrap_or_default().iter().filter(|name| !is_known(name)) {
        findings.push(Finding::note(name, "nothing names this file"));
    }
    let segments: BTreeSet<String> =
        manifest.segments.iter().map(|entry| segment::file_name(entry.id)).collect();
    for name in disk.list(DIRECTORY).unwrap_or_default() {
        let name = format!("{DIRECTORY}/{name}");
        if !segments.contains(&name) {
            let what = "nothing names this file; the next start removes it";
            findings.push(Finding::note(name, what));
        }
    }
    for name in disk.list(ring::DIR).unwrap_or_default() {
        if ring::id_of(&name).is_none() {
            findings.push(Finding::note(format!("{}/{name}", ring::DIR), "this is no log file"));
        }
    }
    for name in disk.list(QUARANTINE).unwrap_or_default() {
        let what = "it was set aside by a start that found it damaged";
        findings.push(Finding::note(format!("{QUARANTINE}/{name}"), what));
    }
}
