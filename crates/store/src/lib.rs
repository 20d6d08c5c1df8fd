//! Keeps what must survive: one checksummed, group-committed log for all queues, segment files for
//! what stays long, and the manifest that ties them together. What a message means is none of its
//! business.
//!
//! Everything goes through a [`disk::Disk`], so that the same code runs over a real directory and
//! over one that fails on purpose.

pub mod disk;
pub mod manifest;
pub mod segment;

#[cfg(test)]
mod memory_disk;
