//! All of a faulty disk, under its one lock.
//!
//! An inode is kept while it has a name, an open handle, or a name that a crash could give back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use rustix::io::Errno;

use super::image::SECTOR;
use super::inode::{Inode, Survival};
use super::plan::{Extent, Plan, PowerLost};
use super::random::Random;
use super::trace::{Call, Trace};
use super::tree::{Node, Tree};
use crate::disk::BLOCK;

const BLOCK_BYTES: u64 = BLOCK as u64;
/// The room on a disk whose capacity was not set, in blocks: 1 TiB.
const BLOCKS_MAX: u64 = (1 << 40) / BLOCK_BYTES;
/// No file reaches further, in bytes.
const END_MAX: u64 = i64::MAX as u64 / BLOCK_BYTES * BLOCK_BYTES;

/// A part of a file, in bytes.
#[derive(Clone, Copy)]
pub struct Part {
    pub offset: u64,
    pub len: u64,
    /// It is accessed directly, so it must be whole blocks.
    pub direct: bool,
}

impl Part {
    fn check(self) -> io::Result<()> {
        let aligned = |value: u64| value.is_multiple_of(BLOCK_BYTES);
        let inside = self.offset.checked_add(self.len).is_some_and(|end| end <= END_MAX);
        let aligned = !self.direct || aligned(self.offset) && aligned(self.len);
        if inside && aligned { Ok(()) } else { Err(Errno::INVAL.into()) }
    }
}

/// A disk.
pub struct State {
    pub random: Random,
    pub plan: Plan,
    pub trace: Trace,
    pub tree: Tree,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// How often it crashed or was killed: a handle of before is dead.
    pub epoch: u64,
    pub locked: bool,
    /// In blocks.
    pub capacity: Option<u64>,
    /// Whether it has direct access.
    pub direct: bool,
    /// Whether lost bytes of an extension read as garbage.
    pub garbage: bool,
}

impl State {
    pub fn new(seed: u64) -> Self {
        State {
            random: Random::new(seed),
            plan: Plan::default(),
            trace: Trace::default(),
            tree: Tree::default(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            epoch: 0,
            locked: false,
            capacity: None,
            direct: true,
            garbage: false,
        }
    }

    /// Does an operation, unless it is to fail.
    pub fn operate<T>(
        &mut self,
        call: Call,
        run: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.attempt(call, |state, extent| match extent {
            Extent::Whole => run(state),
            Extent::Interrupted if state.random.coin() => run(state),
            // What is planned tells the error.
            Extent::Interrupted | Extent::Part | Extent::Nothing => Err(Errno::IO.into()),
        })
    }

    /// Does as much of an operation as is to be done.
    pub fn attempt<T>(
        &mut self,
        call: Call,
        run: impl FnOnce(&mut State, Extent) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.plan.is_off() {
            return Err(PowerLost.into());
        }
        let number = self.plan.operations();
        let verdict = self.plan.begin(call.kind, &mut self.random);
        let done = run(self, verdict.extent);
        let result = verdict.error.map_or(done, Err);
        self.trace.call(number, call, &result);
        result
    }

    /// A file's inode. It is there as long as a handle or a name is.
    pub fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(|| Errno::IO.into())
    }

    /// The inode of a file with a name.
    pub fn named(&mut self, name: &str) -> io::Result<&mut Inode> {
        let inode = self.tree.file(name)?;
        self.inode(inode)
    }

    /// Creates a file, which must not exist.
    pub fn create(&mut self, name: &str) -> io::Result<u64> {
        self.tree.check_new(name)?;
        let inode = self.add(Inode::named());
        self.tree.create(name, Node::File(inode));
        Ok(inode)
    }

    /// Creates a file without a name.
    pub fn temporary(&mut self) -> u64 {
        self.add(Inode::nameless())
    }

    fn add(&mut self, inode: Inode) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, inode);
        number
    }

    /// Creates a directory; one that exists is fine.
    pub fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        if dir.is_empty() || self.tree.node(dir) == Some(Node::Directory) {
            return Ok(());
        }
        self.tree.check_new(dir)?;
        self.tree.create(dir, Node::Directory);
        Ok(())
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let replaced = self.tree.rename(from, to)?;
        replaced.into_iter().for_each(|inode| self.unlink(inode));
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        let inode = self.tree.remove(name)?;
        self.unlink(inode);
        Ok(())
    }

    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        for inode in self.tree.sync_dir(dir)? {
            self.forget(inode);
        }
        Ok(())
    }

    fn unlink(&mut self, inode: u64) {
        if let Some(file) = self.inodes.get_mut(&inode) {
            file.links -= 1;
        }
        self.forget(inode);
    }

    /// A handle is closed.
    pub fn close(&mut self, inode: u64) {
        if let Some(file) = self.inodes.get_mut(&inode) {
            file.handles -= 1;
        }
        self.forget(inode);
    }

    /// Drops an inode that nothing needs.
    fn forget(&mut self, inode: u64) {
        let used = self.inodes.get(&inode).is_some_and(|file| file.links + file.handles > 0);
        if !used && !self.tree.mentions(inode) {
            self.inodes.remove(&inode);
        }
    }

    /// The blocks that can still be held.
    pub fn free_blocks(&self) -> u64 {
        let used = self.inodes.values().filter(|file| file.links + file.handles > 0);
        let capacity = self.capacity.unwrap_or(BLOCKS_MAX);
        capacity.saturating_sub(used.map(Inode::held).sum())
    }

    /// Whether there is room for the bytes of `range`.
    fn has_room(&mut self, inode: u64, range: Range<u64>) -> io::Result<bool> {
        let free = if self.capacity.is_some() { self.free_blocks() } else { BLOCKS_MAX };
        Ok(self.inode(inode)?.missing(range) <= free)
    }

    /// How far a write of `range` comes.
    fn reach(&mut self, inode: u64, range: Range<u64>) -> io::Result<u64> {
        if self.has_room(inode, range.clone())? {
            return Ok(range.end);
        }
        let mut end = range.start;
        loop {
            let next = (end + 1).next_multiple_of(BLOCK_BYTES);
            if !self.has_room(inode, range.start..next)? {
                return Ok(end);
            }
            end = next;
        }
    }

    pub fn read(&mut self, inode: u64, part: Part, buffer: &mut [u8]) -> io::Result<usize> {
        part.check()?;
        Ok(self.inode(inode)?.read(buffer, part.offset))
    }

    /// Writes as much as is to be done and as there is room for.
    pub fn write(
        &mut self,
        inode: u64,
        part: Part,
        bytes: &[u8],
        extent: Extent,
    ) -> io::Result<()> {
        part.check()?;
        let unit = if part.direct { SECTOR } else { 1 };
        let wanted = match extent {
            Extent::Whole => part.len,
            Extent::Part | Extent::Interrupted => self.random.below(part.len + 1) / unit * unit,
            Extent::Nothing => 0,
        };
        let end = part.offset + wanted;
        let reach = self.reach(inode, part.offset..end)?;
        let len = usize::try_from(reach - part.offset).expect("no more than the slice has");
        self.inode(inode)?.write(&bytes[..len], part.offset);
        if reach < end { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    /// Makes a file durable, or loses what is not.
    pub fn sync(&mut self, inode: u64, extent: Extent) -> io::Result<()> {
        let file = self.inode(inode)?;
        match extent {
            Extent::Whole => file.sync(),
            Extent::Part | Extent::Nothing => file.fail_sync(),
            // As if it never came to the sync: a crash leaves any of it.
            Extent::Interrupted => {}
        }
        Ok(())
    }

    pub fn allocate(&mut self, inode: u64, len: u64) -> io::Result<()> {
        Part { offset: 0, len, direct: false }.check()?;
        if !self.has_room(inode, 0..len)? {
            return Err(Errno::NOSPC.into());
        }
        self.inode(inode)?.allocate(len);
        Ok(())
    }

    pub fn punch(&mut self, inode: u64, offset: u64, len: u64) -> io::Result<()> {
        Part { offset, len, direct: false }.check()?;
        self.inode(inode)?.punch(offset, len);
        Ok(())
    }

    /// The process dies and the system lives on.
    pub fn kill(&mut self) {
        self.restart();
        let tree = &self.tree;
        self.inodes.retain(|&inode, file| {
            file.handles = 0;
            file.links > 0 || tree.mentions(inode)
        });
    }

    /// The power goes off and comes back.
    pub fn crash(&mut self, survival: Survival) {
        self.restart();
        self.tree.crash(survival, &mut self.random);
        let named: BTreeSet<u64> = self.tree.files().map(|(_, inode)| inode).collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        for file in self.inodes.values_mut() {
            file.links = 1;
            file.crash(survival, self.garbage, &mut self.random);
        }
    }

    fn restart(&mut self) {
        self.epoch += 1;
        self.locked = false;
        self.plan.restart();
    }
}
