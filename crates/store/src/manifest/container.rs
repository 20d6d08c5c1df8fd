//! A small file that is whole or detected not to be, and is replaced at once.
//!
//! Invariant: what [`Container::read`] returns was given to [`Container::replace`] as it is.
//!
//! ```text
//! magic 8 | format u16 | zero 2 | body crc u32 | body length u64 |
//! crc u32 of the 24 bytes before | zero 4 | body
//! ```

use std::io;

use bytes::Bytes;
use crc32c::crc32c;

use super::{ManifestError, damaged};
use crate::disk::{Access, Disk, DiskFile};

const HEADER_BYTES: usize = 32;

/// How much is written at once, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// A kind of file.
pub(super) struct Container {
    pub(super) magic: [u8; 8],
    pub(super) format: u16,
}

impl Container {
    fn header(&self, body: &[u8]) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8..10].copy_from_slice(&self.format.to_le_bytes());
        header[12..16].copy_from_slice(&crc32c(body).to_le_bytes());
        header[16..24].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let crc = crc32c(&header[..24]);
        header[24..28].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Writes `{name}.new`, syncs it, gives it the name, and syncs that.
    pub(super) fn replace(
        &self,
        disk: &dyn Disk,
        name: &str,
        body: &[u8],
    ) -> Result<(), ManifestError> {
        let new = format!("{name}.new");
        let io = |error| ManifestError::Io { file: name.to_owned(), error };
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let file = disk.create(&new, Access::Buffered).map_err(io)?;
        file.write_at(&self.header(body), 0).map_err(io)?;
        let mut offset = HEADER_BYTES as u64;
        for part in body.chunks(WRITE_BYTES) {
            file.write_at(part, offset).map_err(io)?;
            offset += part.len() as u64;
        }
        file.sync().map_err(io)?;
        drop(file);
        disk.rename(&new, name).map_err(io)?;
        disk.sync_dir("").map_err(io)
    }

    /// The body of a file; `None` if there is no such file.
    pub(super) fn read(&self, disk: &dyn Disk, name: &str) -> Result<Option<Bytes>, ManifestError> {
        let io = |error| ManifestError::Io { file: name.to_owned(), error };
        let file = match disk.open(name, Access::Buffered) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = read_all(&*file).map_err(io)?;
        if bytes.len() < HEADER_BYTES {
            return Err(damaged(name, "it is too short"));
        }
        let body = bytes.split_off(HEADER_BYTES);
        let crc = crc32c(&bytes[..24]).to_le_bytes();
        if bytes[..8] != self.magic || bytes[24..28] != crc || bytes[28..] != [0; 4] {
            return Err(damaged(name, "its header is not what was written"));
        }
        let found = u16::from_le_bytes([bytes[8], bytes[9]]);
        if found != self.format {
            let known = self.format;
            return Err(ManifestError::Format { file: name.to_owned(), found, known });
        }
        if bytes[..] != self.header(&body) {
            return Err(damaged(name, "its contents do not fit their checksum"));
        }
        Ok(Some(body.into()))
    }
}

fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
