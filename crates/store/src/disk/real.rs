//! A data directory on a real filesystem.
//!
//! New directories have mode 0700 and new files 0600. An error is the system's own, never
//! interpreted; what an interrupted call or a short transfer left over is done by a further call.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FallocateFlags, OFlags, StatxFlags, fallocate, statvfs, statx};
use rustix::io::{Errno, retry_on_intr};

use super::{Access, BLOCK, Disk, DiskFile, LockError, invalid, is_within};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The file that is locked; it says who holds it.
const LOCK_NAME: &str = "lock";
/// How much of a lock file is read.
const HOLDER_BYTES_MAX: u64 = 512;

/// A directory of the filesystem.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The data directory at `root`, which need not exist; touches nothing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        RealDisk { root: root.into() }
    }

    /// Where a file or directory is.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        if is_within(name) {
            Ok(self.root.join(name))
        } else {
            Err(invalid(format!("`{name}` is not a name within a data directory")))
        }
    }

    /// Where a directory is; `""` is the data directory.
    fn dir_path(&self, dir: &str) -> io::Result<PathBuf> {
        if dir.is_empty() { Ok(self.root.clone()) } else { self.path(dir) }
    }

    /// Creates the data directory with its parents. What was created is made durable, since no
    /// later [`Disk::sync_dir`] reaches above the data directory.
    fn create_root(&self) -> io::Result<()> {
        let missing: Vec<&Path> =
            self.root.ancestors().take_while(|path| is_missing(path)).collect();
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.root)?;
        missing.iter().try_for_each(|path| sync_path(parent(path)))
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let path = self.dir_path(dir)?;
        if dir.is_empty() {
            return self.create_root();
        }
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.dir_path(dir)?)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            Ok(entry?.file_name().to_string_lossy().into_owned())
        };
        let mut names = entries.map(name).collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name)?;
        let file = options().create_new(true).open(&path)?;
        if access == Access::Direct {
            // Some kernels create the file even where they then refuse to open it directly, so
            // creation and direct access are not asked for at once.
            return open_direct(&path);
        }
        Ok(Box::new(RealFile { file, direct: false }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name)?;
        match access {
            Access::Direct => open_direct(&path),
            Access::Buffered => open_buffered(&path),
        }
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = File::open(self.path(name)?)?;
        Ok(Box::new(RealFile { file, direct: false }))
    }

    fn temporary(&self) -> io::Result<Box<dyn DiskFile>> {
        let flags = OFlags::TMPFILE.bits().cast_signed();
        let file = match options().custom_flags(flags).open(&self.root) {
            Ok(file) => file,
            // Filesystems without such files, and kernels that take the flag for a directory's.
            Err(error) if is_unsupported(&error) || is(&error, Errno::ISDIR) => {
                static COUNT: AtomicU64 = AtomicU64::new(0);
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let path = self.root.join(format!("temporary.{}.{count}", std::process::id()));
                let file = options().create(true).truncate(true).open(&path)?;
                std::fs::remove_file(&path)?;
                file
            }
            Err(error) => return Err(error),
        };
        Ok(Box::new(RealFile { file, direct: false }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_path(&self.dir_path(dir)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let filesystem = statvfs(&self.root)?;
        Ok(filesystem.f_bavail.saturating_mul(filesystem.f_frsize))
    }

    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>, LockError> {
        let mut file = options().create(true).truncate(false).open(self.root.join(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { holder: holder(file)? }),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        file.set_len(0)?;
        write!(file, "process {} on {host}", std::process::id())?;
        // The time of this write is the time of the lock.
        let since = file.metadata()?.modified()?;
        write!(file, " since {}", utc(since))?;
        // Closing the file unlocks it.
        Ok(Box::new(file))
    }

    fn holder(&self) -> Result<Option<String>, LockError> {
        let file = match File::open(self.root.join(LOCK_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        // Shared, so that several may ask at once.
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(file)?)),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

/// Who has the lock, in words.
fn holder(lock: File) -> io::Result<String> {
    let mut text = Vec::new();
    lock.take(HOLDER_BYTES_MAX).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    // It has been locked, but not yet written.
    Ok(if text.is_empty() { "another process".to_owned() } else { text })
}

/// A time to the second, as in `2026-01-31 23:59:59 UTC`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Years are taken to begin in March, so that a leap day is the last day of its year, and are
    // counted in cycles of 400, each of 146,097 days. 719,468 days lead from 0000-03-01 to 1970.
    let days = seconds / 86_400 + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = cycle * 400 + year + next;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A file that was opened by a [`RealDisk`].
struct RealFile {
    file: File,
    direct: bool,
}

impl RealFile {
    /// Direct access must be aligned on every device alike, also on those that would take less.
    fn check(&self, memory: *const u8, offset: u64, len: usize) -> io::Result<()> {
        let aligned = |value: usize| value.is_multiple_of(BLOCK);
        let is_aligned = offset.is_multiple_of(BLOCK as u64) && aligned(len);
        if !self.direct || is_aligned && aligned(memory.addr()) {
            return Ok(());
        }
        let memory = memory.addr() % BLOCK;
        let text = format!("{len} bytes at {offset} (memory + {memory}) are not whole blocks");
        Err(invalid(text))
    }

    /// How much of a transfer of `done` bytes counts: a direct one can only go on at a block.
    fn whole(&self, done: usize) -> usize {
        if self.direct { done - done % BLOCK } else { done }
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check(buffer.as_ptr(), offset, buffer.len())?;
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let count = match self.file.read_at(&mut buffer[done..], at) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let whole = self.whole(count);
            if whole < count && at + count as u64 >= self.len()? {
                // The file ends within a block, where a direct read cannot go on.
                return Ok(done + count);
            }
            if whole == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += whole;
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(bytes.as_ptr(), offset, bytes.len())?;
        let mut done = 0;
        while done < bytes.len() {
            let written = match self.file.write_at(&bytes[done..], offset + done as u64) {
                Ok(count) => self.whole(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            done += written;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP) if self.len()? < len => self.file.set_len(len),
            Err(Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, flags, offset, len)) {
            Err(Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}

/// How every file is opened.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    options
}

fn open_buffered(path: &Path) -> io::Result<Box<dyn DiskFile>> {
    Ok(Box::new(RealFile { file: options().open(path)?, direct: false }))
}

/// Opens past the page cache if that is possible in units of [`BLOCK`].
fn open_direct(path: &Path) -> io::Result<Box<dyn DiskFile>> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    match options().custom_flags(flags).open(path) {
        Ok(file) if takes_blocks(&file) => Ok(Box::new(RealFile { file, direct: true })),
        Ok(_) => open_buffered(path),
        Err(error) if is_unsupported(&error) => open_buffered(path),
        Err(error) => Err(error),
    }
}

/// Whether direct access really is direct, and in units no larger than [`BLOCK`]. A kernel or
/// filesystem that cannot tell is believed.
fn takes_blocks(file: &File) -> bool {
    let Ok(status) = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
        return true;
    };
    let fits = |unit: u32| unit > 0 && BLOCK.is_multiple_of(unit as usize);
    status.stx_mask & StatxFlags::DIOALIGN.bits() == 0
        || fits(status.stx_dio_offset_align) && fits(status.stx_dio_mem_align)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Whether the filesystem has no such way to open a file.
fn is_unsupported(error: &io::Error) -> bool {
    is(error, Errno::INVAL) || is(error, Errno::OPNOTSUPP)
}

fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty() && !path.exists()
}

/// The directory that a path's name is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn sync_path(dir: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(dir)?.sync_all()
}
