//! Getting the log ready to be written again after a stop of any kind: what [`scan`](super::scan)
//! finds, and the few writes that must come before anything is built on it.

use crate::buffer::Buffer;
use crate::disk::{BLOCK, Disk};
use crate::error::OpenError;
use crate::report::{Damage, Report};

use super::ring::{DIR, Handles, Ring};
use super::scan::{Apply, Scan, Scanned};

/// Reads all batches from `from` on. The ring then has the files that are still needed, the others
/// as spares; the number of the next batch comes back.
pub(crate) fn recover(
    disk: &dyn Disk,
    ring: &mut Ring,
    from: u64,
    apply: &mut Apply<'_>,
    report: &mut Report,
) -> Result<u64, OpenError> {
    // Whatever cannot be read as it should be ends the start.
    let mut refuse = |error| Err(error);
    let scan = Scan { store_id: ring.store_id, from, apply, refuse: &mut refuse, report };
    // A file that was being created at the crash may be there now and gone after the next one.
    let failed = |error| OpenError::io("make the names of the log's files durable", error);
    disk.sync_dir(DIR).map_err(failed)?;
    let Scanned { files, spares, unused, next_id, next } = scan.run(disk)?;
    if next < from {
        // The manifest knows of more: a number must not be given twice.
        report.damages.push(Damage::LogBatches { first: next, last: from - 1 });
    }
    ring.next_id = ring.next_id.max(next_id);
    ring.files.extend(files);
    ring.spares.extend(spares);
    for unused in unused {
        clear(&unused.file.handles)?;
        ring.spares.push_back(unused.file.handles);
    }
    keep_last(ring)?;
    Ok(next.max(from))
}

/// The header of a file, and what is there of its first batch, name a number that will be given
/// again, perhaps elsewhere.
fn clear(handles: &Handles) -> Result<(), OpenError> {
    let mut block = Buffer::with_capacity(BLOCK * 2);
    block.resize(BLOCK * 2);
    let failed = |error| OpenError::io("clear an unused log file", error);
    handles.write.write_at(block.bytes(), 0).map_err(failed)?;
    handles.write.sync().map_err(failed)
}

/// After a crash the kernel may give back a page that never reached the disk. Only the last batch,
/// and the header that was written with it, can be such: they are written again before anything is
/// built on them.
fn keep_last(ring: &Ring) -> Result<(), OpenError> {
    let Some(file) = ring.files.back() else { return Ok(()) };
    let Some(last) = file.last() else { return Ok(()) };
    let Some((read, offset)) = ring.locate(last) else { return Ok(()) };
    let len = (file.end - offset) as usize;
    let mut buffer = Buffer::with_capacity(len);
    buffer.resize(len);
    let failed = |error| OpenError::io("write the log's last batch again", error);
    let read = read.read_at(buffer.bytes_mut(), offset).map_err(failed)?;
    if read == len {
        file.handles.write.write_at(ring.header(file).bytes(), 0).map_err(failed)?;
        file.handles.write.write_at(buffer.bytes(), offset).map_err(failed)?;
        file.handles.write.sync().map_err(failed)?;
    }
    Ok(())
}
