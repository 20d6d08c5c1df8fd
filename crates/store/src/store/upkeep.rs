//! Upkeep: what keeps the log short and gives space back. One step at a time:
//!
//! 1. *Spares*: the log always has files ready.
//! 2. *Flush*: what still lives in the oldest file of the log goes to a segment.
//! 3. *Checkpoint*: the state is captured; once everything in it is durable the manifest is
//!    written; then files of the log, extents and segments that nothing needs are free.
//!
//! Invariant: nothing is given back before a manifest without it is durable, and no manifest says
//! what the log does not. So a crash between any two steps only repeats work.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::{Committed, Core, Held, Store};
use crate::disk::Disk;
use crate::error::Fatal;
use crate::log::ring::{self, Handles, LogFile};
use crate::manifest::{
    self, DefinitionsFile, Manifest, ManifestError, QueueState, RunState, SegmentEntry,
};
use crate::segment::file_name;

/// Where files with damage are kept.
pub(crate) const QUARANTINE: &str = "quarantine";
/// Files that are kept ready.
const SPARES_MIN: usize = 2;
/// Ready files beyond these are given back.
const SPARES_MAX: usize = 4;

/// What a step of upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// There was nothing to do.
    Idle,
    /// Something; there may be more.
    Worked,
    /// It goes on once this batch is durable.
    Waits(u64),
}

/// What upkeep remembers between steps.
pub(super) struct Pending {
    captured: Option<Captured>,
    /// The definitions that the manifest names.
    definitions: Option<DefinitionsFile>,
    next_segment: u64,
}

/// A state that is to become the manifest.
struct Captured {
    manifest: Manifest,
    /// Once this batch is durable.
    needs: u64,
    /// To be written before it.
    definitions: Option<(DefinitionsFile, Vec<u8>)>,
    /// Extents that may be given back after it, by segment.
    extents: Vec<(u64, Vec<u32>)>,
    /// Segments that may be removed after it.
    segments: Vec<u64>,
}

impl Pending {
    pub(super) fn new(definitions: Option<DefinitionsFile>, next_segment: u64) -> Self {
        Self { captured: None, definitions, next_segment }
    }
}

impl Core {
    /// The first batch that is not durable.
    fn first_pending(&self) -> u64 {
        let closed = self.closed.front().map_or(self.open.number, |batch| batch.number);
        self.flying.unwrap_or(closed).min(closed)
    }

    /// The last batch that holds anything.
    fn last_appended(&self) -> u64 {
        self.open.number - u64::from(self.open.is_empty())
    }

    /// Upkeep has nothing to do. In no hurry it can do without what is kept in memory.
    fn was_idle(&mut self) {
        self.pile.was_idle();
        if self.pile.is_slow() {
            self.kept.clear();
        }
    }

    /// How many of the oldest files hold nothing that is needed.
    fn dead_files(&self) -> usize {
        let needed = self.index.first_batch().unwrap_or(u64::MAX).min(self.first_pending());
        let ends = self.ring.files.iter().skip(1).map(|file| file.first);
        ends.take_while(|end| *end <= needed).count()
    }

    fn has_garbage(&self) -> bool {
        let garbage = |held: &Held| held.space.is_dead() || !held.space.free_extents().is_empty();
        self.segments.values().any(garbage)
    }

    fn queue_states(&self) -> Vec<QueueState> {
        let state = |(id, queue): (&u64, &crate::index::queue::Queue)| QueueState {
            queue: *id,
            last_seq: queue.last_seq,
            delivered: queue.delivered,
            returns: queue.returns.iter().map(|(seq, count)| (*seq, *count)).collect(),
        };
        let known = self.index.queues.iter().filter(|(_, queue)| queue.last_seq > 0);
        let mut states: Vec<_> = known.map(state).collect();
        states.sort_unstable_by_key(|state| state.queue);
        states
    }

    fn segment_entries(&self) -> Vec<SegmentEntry> {
        let mut entries: std::collections::BTreeMap<u64, SegmentEntry> = self
            .segments
            .iter()
            .filter(|(_, held)| !held.space.is_dead())
            .map(|(id, held)| {
                let (runs, punched) = (Vec::new(), held.space.punched_extents());
                (*id, SegmentEntry { id: *id, runs, punched })
            })
            .collect();
        for run in self.index.queues.values().flat_map(|queue| queue.runs.values()) {
            if let Some(entry) = entries.get_mut(&run.segment()) {
                entry.runs.extend(RunState::of(run));
            }
        }
        let mut entries: Vec<_> = entries.into_values().collect();
        for entry in &mut entries {
            entry.runs.sort_unstable_by_key(|run| (run.queue, run.level, run.first));
        }
        entries
    }
}

impl Store {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one step, if there is one to do. With `reclaim` it also gives space of segments back,
    /// which costs a manifest, so it is not to be asked for all the time. To be called by one
    /// thread at a time. After an error (a full disk, above all) the next call tries again.
    pub fn upkeep(&self, reclaim: bool) -> io::Result<Upkeep> {
        let mut pending = self.pending();
        if let Some(captured) = &pending.captured {
            let needs = captured.needs;
            if self.durable() < needs {
                self.awaited.store(needs, Ordering::Relaxed);
                return Ok(Upkeep::Waits(needs));
            }
            self.checkpoint(&mut pending)?;
            return Ok(Upkeep::Worked);
        }
        let core = self.core();
        let (dead, garbage) = (core.dead_files(), reclaim && core.has_garbage());
        let (files, spares) = (core.ring.files.len(), core.ring.spares.len());
        let full = files * 4 >= self.options.log_files * 3
            || core.index.tail_len() > self.options.log_messages_max
            || core.pile.grows();
        drop(core);
        let wants_spare = spares < SPARES_MIN;
        if dead > 0 && (wants_spare || full || reclaim) || garbage {
            return self.capture(&mut pending);
        }
        if wants_spare && files + spares < self.options.log_files {
            self.add_spare()?;
            return Ok(Upkeep::Worked);
        }
        if full && files > 1 {
            self.flush_oldest(&mut pending)?;
            return self.capture(&mut pending);
        }
        self.core().was_idle();
        Ok(Upkeep::Idle)
    }

    fn add_spare(&self) -> io::Result<()> {
        let mut core = self.core();
        let (id, size) = (core.ring.next_id, core.ring.file_size);
        core.ring.next_id += 1;
        drop(core);
        let handles = Handles::create(&*self.disk, id, size, true)?;
        self.core().ring.spares.push_back(handles);
        Ok(())
    }

    /// Takes the state as it is now, to be written once it is durable.
    fn capture(&self, pending: &mut Pending) -> io::Result<Upkeep> {
        // Definitions that are changed after this stand in batches from here on.
        let mark = self.core().first_pending();
        let through = pending.definitions.as_ref().map_or(0, |file| file.through);
        let source = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut definitions = None;
        if self.defined() > through {
            let Some((bytes, through)) = source.and_then(|source| source()) else {
                return Ok(Upkeep::Idle);
            };
            let number = pending.definitions.as_ref().map_or(1, |file| file.number + 1);
            definitions = Some((DefinitionsFile { number, through }, bytes));
        }
        let named = definitions.as_ref().map(|(file, _)| *file);
        let core = self.core();
        let needed = core.index.first_batch().unwrap_or(u64::MAX);
        let manifest = Manifest {
            store_id: core.ring.store_id,
            replay_from: needed.min(core.first_pending()).min(mark),
            next_segment: pending.next_segment,
            last_queue: core.index.last_queue,
            definitions: named.or(pending.definitions),
            segments: core.segment_entries(),
            queues: core.queue_states(),
        };
        let alive = core.segments.iter().filter(|(_, held)| !held.space.is_dead());
        let extents = alive.map(|(id, held)| (*id, held.space.free_extents())).collect();
        let dead = core.segments.iter().filter(|(_, held)| held.space.is_dead());
        let segments = dead.map(|(id, _)| *id).collect();
        let needs = core.last_appended();
        self.awaited.store(needs, Ordering::Relaxed);
        pending.captured = Some(Captured { manifest, needs, definitions, extents, segments });
        Ok(Upkeep::Waits(needs))
    }

    /// Writes the captured state, and gives back what it does not need.
    fn checkpoint(&self, pending: &mut Pending) -> io::Result<()> {
        let Some(captured) = &pending.captured else { return Ok(()) };
        if let Some((file, bytes)) = &captured.definitions {
            let written = manifest::write_definitions(&*self.disk, file.number, bytes);
            written.map_err(manifest_error)?;
        }
        captured.manifest.write(&*self.disk).map_err(manifest_error)?;
        let Some(captured) = pending.captured.take() else { return Ok(()) };
        if let Some((file, _)) = captured.definitions
            && let Some(old) = pending.definitions.replace(file)
        {
            self.disk.remove(&manifest::definitions_name(old.number))?;
        }
        self.free_log_files(captured.manifest.replay_from)?;
        let mut core = self.core();
        let dead: Vec<_> =
            captured.segments.iter().filter_map(|id| core.segments.remove(id)).collect();
        for (id, extents) in captured.extents {
            let Some(held) = core.segments.get_mut(&id) else { continue };
            for extent in extents {
                held.space.punch_extent(&held.segment, extent)?;
            }
        }
        drop(core);
        for held in dead {
            self.disk.remove(&file_name(held.segment.id()))?;
        }
        Ok(())
    }

    /// Files of the log before batch `replay_from` become spares, or go.
    fn free_log_files(&self, replay_from: u64) -> io::Result<()> {
        let mut gone = Vec::new();
        let mut core = self.core();
        while core.ring.files.get(1).is_some_and(|next| next.first <= replay_from) {
            let Some(file) = core.ring.files.pop_front() else { break };
            let standard = file.handles.size == core.ring.file_size;
            if file.damaged || !standard || core.ring.spares.len() >= SPARES_MAX {
                gone.push(file);
            } else {
                core.ring.spares.push_back(file.handles);
            }
        }
        let size = core.ring.file_size;
        let (right, odd) =
            std::mem::take(&mut core.ring.spares).into_iter().partition(|spare| spare.size == size);
        core.ring.spares = right;
        drop(core);
        for file in &gone {
            self.put_away(file)?;
        }
        for spare in odd {
            self.disk.remove(&ring::name(spare.id))?;
        }
        Ok(())
    }

    /// Removes a file of the log, or keeps it where nobody uses it if something in it was damaged.
    fn put_away(&self, file: &LogFile) -> io::Result<()> {
        let name = ring::name(file.handles.id);
        if !file.damaged {
            return self.disk.remove(&name);
        }
        set_aside(&*self.disk, &name, &format!("{:08}-{}.log", file.handles.id, file.first))
    }

    /// What lives in the oldest file of the log goes to a segment.
    fn flush_oldest(&self, pending: &mut Pending) -> io::Result<()> {
        let core = self.core();
        let Some(next) = core.ring.files.get(1) else { return Ok(()) };
        let limit = next.first;
        drop(core);
        self.flush_file(pending, 0, limit)
    }

    /// Writes everything to segments and checkpoints, so that the next start has nothing to
    /// replay. Nothing may be appended meanwhile, and everything must be durable.
    fn settle_down(&self) -> io::Result<()> {
        let mut pending = self.pending();
        if pending.captured.is_some() {
            self.checkpoint(&mut pending)?;
        }
        let core = self.core();
        let end = core.open.number;
        let mut limits: Vec<u64> = core.ring.files.iter().skip(1).map(|file| file.first).collect();
        limits.push(end);
        drop(core);
        for (at, limit) in limits.into_iter().enumerate() {
            self.flush_file(&mut pending, at, limit)?;
        }
        if matches!(self.capture(&mut pending)?, Upkeep::Waits(needs) if needs <= self.durable()) {
            self.checkpoint(&mut pending)?;
        }
        Ok(())
    }

    /// Makes everything that was appended durable, and moves what lives to segments, so that the
    /// next start has nothing to replay. For one thread; [`crate::Threads::stop`] does it for a
    /// running broker. Nothing may be appended any more.
    pub fn close(&self) -> io::Result<()> {
        loop {
            match self.commit() {
                Ok(Committed::Batch(_)) => {}
                Ok(Committed::Nothing) => return self.settle_down(),
                Ok(Committed::NoRoom(error)) | Err(Fatal(error)) => return Err(error),
            }
        }
    }

    pub(super) fn next_segment(&self, pending: &mut Pending) -> u64 {
        let id = pending.next_segment;
        pending.next_segment += 1;
        id
    }
}

fn manifest_error(error: ManifestError) -> io::Error {
    match error {
        ManifestError::Io { error, .. } => error,
        other => io::Error::other(other),
    }
}

/// Moves a file out of the way; it is never deleted.
pub(crate) fn set_aside(disk: &dyn Disk, name: &str, to: &str) -> io::Result<()> {
    disk.create_dir(QUARANTINE)?;
    disk.rename(name, &format!("{QUARANTINE}/{to}"))?;
    disk.sync_dir(QUARANTINE)?;
    tracing::warn!(file = name, to, "a damaged file was set aside");
    Ok(())
}
