//! What can be done when a data directory cannot be opened; said behind the error itself.

use std::io::ErrorKind;

use leveret_store::OpenError;
use leveret_store::disk::LockError;

/// The way out, if there is one that whoever starts the broker can take.
pub(crate) fn of(error: &OpenError) -> Option<&'static str> {
    let system = match error {
        OpenError::Locked(LockError::Held { .. }) => {
            return Some("stop that one, or choose another directory with --data-dir");
        }
        OpenError::Locked(LockError::Io(error)) | OpenError::Io { error, .. } => error,
        _ => return None,
    };
    match system.kind() {
        ErrorKind::PermissionDenied => Some(
            "the user who runs the broker must be able to write there: give the directory to that \
             user (chown -R), or choose another one with --data-dir",
        ),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Some(
            "a file stands where the directory should be: move it away, or choose another \
             directory with --data-dir",
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("free some space, or choose a directory on another disk with --data-dir")
        }
        ErrorKind::ReadOnlyFilesystem => Some(
            "this filesystem is mounted read-only: mount a writable one there (a volume for a \
             container), or choose another directory with --data-dir",
        ),
        _ => None,
    }
}
