//! The names of a faulty disk: those that are seen, those that are durable, and the un-synced
//! changes between the two, in order.
//!
//! A name's parent is always there, in both. A rename from one directory into another is one
//! change of both: it survives with what came before it in either, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::io::Errno;

use super::inode::Survival;
use super::random::Random;

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Node {
    Directory,
    /// A file, by the number of its inode.
    File(u64),
}

type Names = BTreeMap<String, Node>;

/// A change of names.
enum Change {
    Create(String, Node),
    Remove(String),
    Rename(String, String),
}

impl Change {
    /// The directories that it changes.
    fn dirs(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Change::Create(name, _) | Change::Remove(name) => (parent(name), None),
            Change::Rename(from, to) => (parent(from), Some(parent(to))),
        };
        [first].into_iter().chain(second.filter(|&second| second != first))
    }

    /// Changes `names`; the node that lost its name.
    fn apply(&self, names: &mut Names) -> Option<Node> {
        match self {
            Change::Create(name, node) => names.insert(name.clone(), *node),
            Change::Remove(name) => names.remove(name),
            Change::Rename(from, to) => {
                let node = names.remove(from)?;
                names.insert(to.clone(), node)
            }
        }
    }
}

/// All names but that of the data directory itself, which is always there.
#[derive(Default)]
pub struct Tree {
    seen: Names,
    durable: Names,
    pending: Vec<Change>,
}

impl Tree {
    /// The inode of a file.
    pub fn file(&self, name: &str) -> io::Result<u64> {
        match self.seen.get(name) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Directory) => Err(Errno::ISDIR.into()),
            None => Err(self.check_dir(parent(name)).err().unwrap_or(Errno::NOENT.into())),
        }
    }

    /// What a name stands for.
    pub fn node(&self, name: &str) -> Option<Node> {
        self.seen.get(name).copied()
    }

    /// All files' names, sorted.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.seen.iter().filter_map(|(name, node)| match node {
            Node::File(inode) => Some((name.as_str(), *inode)),
            Node::Directory => None,
        })
    }

    /// The names in a directory, sorted.
    pub fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.check_dir(dir)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let below = self.seen.range(prefix.clone()..).map(|(name, _)| name);
        let below = below.map_while(|name| name.strip_prefix(prefix.as_str()));
        Ok(below.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    /// Whether a new name can be given there.
    pub fn check_new(&self, name: &str) -> io::Result<()> {
        self.check_dir(parent(name))?;
        if self.seen.contains_key(name) { Err(Errno::EXIST.into()) } else { Ok(()) }
    }

    fn check_dir(&self, dir: &str) -> io::Result<()> {
        match self.seen.get(dir) {
            Some(Node::Directory) => Ok(()),
            _ if dir.is_empty() => Ok(()),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => self.check_dir(parent(dir)).and(Err(Errno::NOENT.into())),
        }
    }

    /// Gives a new name, which was checked before.
    pub fn create(&mut self, name: &str, node: Node) {
        self.change(Change::Create(name.to_owned(), node));
    }

    /// Takes a file's name away; its inode.
    pub fn remove(&mut self, name: &str) -> io::Result<u64> {
        let inode = self.file(name)?;
        self.change(Change::Remove(name.to_owned()));
        Ok(inode)
    }

    /// Gives a file another name; the inode that had it before.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<Option<u64>> {
        self.check_dir(parent(from))?;
        self.check_dir(parent(to))?;
        self.file(from)?;
        let replaced = match self.seen.get(to) {
            Some(Node::Directory) => return Err(Errno::ISDIR.into()),
            Some(Node::File(inode)) => Some(*inode),
            None => None,
        };
        if from == to {
            return Ok(None);
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(replaced)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// Makes the changes in a directory durable; the inodes that lost their durable names.
    pub fn sync_dir(&mut self, dir: &str) -> io::Result<Vec<u64>> {
        self.check_dir(dir)?;
        // From the last change to the first, since a rename needs what came before it in both
        // of its directories.
        let mut dirs = BTreeSet::from([dir.to_owned()]);
        let mut synced = vec![false; self.pending.len()];
        for (change, synced) in self.pending.iter().zip(&mut synced).rev() {
            if change.dirs().any(|dir| dirs.contains(dir)) {
                *synced = true;
                dirs.extend(change.dirs().map(str::to_owned));
            }
        }
        let mut synced = synced.into_iter();
        let durable = self.pending.extract_if(.., |_| synced.next() == Some(true));
        let removed = durable.filter_map(|change| match change.apply(&mut self.durable) {
            Some(Node::File(inode)) => Some(inode),
            _ => None,
        });
        Ok(removed.collect())
    }

    /// Whether a file could get a name back by a crash, or has one.
    pub fn mentions(&self, inode: u64) -> bool {
        let node = Node::File(inode);
        self.seen.values().chain(self.durable.values()).any(|&other| other == node)
            || self
                .pending
                .iter()
                .any(|change| matches!(change, Change::Create(_, other) if *other == node))
    }

    /// The power goes off and comes back: of each directory's changes the first few survive.
    pub fn crash(&mut self, survival: Survival, random: &mut Random) {
        let mut left: BTreeMap<&str, u64> = BTreeMap::new();
        for change in &self.pending {
            change.dirs().for_each(|dir| *left.entry(dir).or_default() += 1);
        }
        for count in left.values_mut() {
            *count = match survival {
                Survival::Nothing => 0,
                Survival::Everything => *count,
                Survival::ByChance => random.below(*count + 1),
            };
        }
        for change in &self.pending {
            let survives = change.dirs().all(|dir| left.get(dir).is_some_and(|&left| left > 0));
            for dir in change.dirs() {
                let left = left.entry(dir).or_default();
                *left = if survives { *left - 1 } else { 0 };
            }
            if survives {
                change.apply(&mut self.durable);
            }
        }
        self.pending.clear();
        self.drop_orphans();
        self.seen = self.durable.clone();
    }

    /// What is in a directory that did not survive is lost with it.
    fn drop_orphans(&mut self) {
        let mut dirs = BTreeSet::from([String::new()]);
        // A directory's name sorts before the names in it.
        self.durable.retain(|name, node| {
            let kept = dirs.contains(parent(name));
            if kept && *node == Node::Directory {
                dirs.insert(name.clone());
            }
            kept
        });
    }
}

/// The directory that a name is in.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
