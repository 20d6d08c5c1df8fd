//! The topic exchange: keys are words between dots; in a binding key `*` stands for one word and
//! `#` for none or more (0-9-1 specification 3.1.3.3).
//!
//! A trie of words. Matching walks it word by word; a pair of node and position is entered at most
//! once, so that a key's cost is bounded by (nodes × words) however many `#` a binding has.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;
use smallvec::{SmallVec, smallvec};

use super::Destination;
use super::targets::Targets;
use crate::definitions::Binding;

/// Most words below a node that are kept in a list: most nodes have one, and a map is large.
const FEW_MAX: usize = 8;

type Map = GenericHashMap<Arc<[u8]>, Arc<Node>, FixedState, DefaultSharedPtr>;

/// The nodes below a node, by word.
#[derive(Debug, Clone)]
enum Words {
    Few(Vec<(Arc<[u8]>, Arc<Node>)>),
    Many(Map),
}

impl Default for Words {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Words {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    fn get(&self, word: &[u8]) -> Option<&Arc<Node>> {
        match self {
            Self::Few(few) => few.iter().find(|(other, _)| **other == *word).map(|(_, node)| node),
            Self::Many(many) => many.get(word),
        }
    }

    fn get_mut(&mut self, word: &[u8]) -> Option<&mut Arc<Node>> {
        match self {
            Self::Few(few) => {
                few.iter_mut().find(|(other, _)| **other == *word).map(|(_, node)| node)
            }
            Self::Many(many) => many.get_mut(word),
        }
    }

    fn get_or_insert(&mut self, word: &[u8], hasher: &FixedState) -> &mut Arc<Node> {
        if let Self::Few(few) = self
            && few.len() == FEW_MAX
            && few.iter().all(|(other, _)| **other != *word)
        {
            let mut many = Map::with_hasher(hasher.clone());
            many.extend(few.drain(..));
            *self = Self::Many(many);
        }
        match self {
            Self::Few(few) => {
                let known = few.iter().position(|(other, _)| **other == *word);
                let at = known.unwrap_or(few.len());
                if known.is_none() {
                    few.reserve_exact(1);
                    few.push((word.into(), Arc::default()));
                }
                &mut few[at].1
            }
            Self::Many(many) => many.entry(word.into()).or_default(),
        }
    }

    fn remove(&mut self, word: &[u8]) {
        match self {
            Self::Few(few) => few.retain(|(other, _)| **other != *word),
            Self::Many(many) => {
                many.remove(word);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    words: Words,
    star: Option<Arc<Node>>,
    hash: Option<Arc<Node>>,
    targets: Targets,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.words.is_empty()
            && self.star.is_none()
            && self.hash.is_none()
            && self.targets.is_empty()
    }

    fn child_mut(&mut self, word: &[u8], hasher: &FixedState) -> &mut Self {
        let child = match word {
            b"*" => self.star.get_or_insert_default(),
            b"#" => self.hash.get_or_insert_default(),
            _ => self.words.get_or_insert(word, hasher),
        };
        Arc::make_mut(child)
    }

    /// Removes one binding below; at most 128 deep, since a key has at most 255 bytes.
    fn remove(&mut self, words: &[&[u8]], destination: &Destination) {
        let Some((&word, rest)) = words.split_first() else {
            self.targets.remove(destination);
            return;
        };
        let slot = match word {
            b"*" => self.star.as_mut(),
            b"#" => self.hash.as_mut(),
            _ => self.words.get_mut(word),
        };
        let Some(child) = slot else { return };
        let child = Arc::make_mut(child);
        child.remove(rest, destination);
        if !child.is_empty() {
            return;
        }
        match word {
            b"*" => self.star = None,
            b"#" => self.hash = None,
            _ => self.words.remove(word),
        }
    }
}

/// The words of a key; the empty key has none.
fn words(key: &str) -> SmallVec<[&[u8]; 16]> {
    let key = key.as_bytes();
    let mut words = SmallVec::new();
    let mut start = 0;
    for (at, byte) in key.iter().enumerate() {
        if *byte == b'.' {
            words.push(&key[start..at]);
            start = at + 1;
        }
    }
    if !key.is_empty() {
        words.push(&key[start..]);
    }
    words
}

#[derive(Debug, Clone)]
pub(crate) struct TopicRouter {
    root: Node,
    /// Seeded, so that nobody can choose words that collide.
    hasher: FixedState,
}

impl TopicRouter {
    pub(super) fn new(seed: u64) -> Self {
        Self { root: Node::default(), hasher: FixedState::with_seed(seed) }
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        let mut node = &mut self.root;
        for word in words(&binding.routing_key) {
            node = node.child_mut(word, &self.hasher);
        }
        node.targets.add(&binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.root.remove(&words(&binding.routing_key), &binding.destination);
    }

    pub(super) fn route<'a>(&'a self, key: &str, found: &mut dyn FnMut(&'a Destination)) {
        let words = words(key);
        // Only below a `#` can two ways lead to the same node.
        let mut entered = HashSet::with_hasher(FixedState::default());
        let mut open: SmallVec<[(&Node, usize); 16]> = smallvec![(&self.root, 0)];
        while let Some((node, at)) = open.pop() {
            if let Some(hash) = &node.hash {
                for rest in at..=words.len() {
                    let id = (Arc::as_ptr(hash) as usize, rest);
                    if entered.insert(id) {
                        open.push((&**hash, rest));
                    }
                }
            }
            let Some(word) = words.get(at) else {
                node.targets.for_each(found);
                continue;
            };
            if let Some(next) = node.words.get(word) {
                open.push((&**next, at + 1));
            }
            if let Some(next) = &node.star {
                open.push((&**next, at + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The definition of a match, by recursion over both keys.
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((&"#", rest)), _) => (0..=key.len()).any(|skip| matches(rest, &key[skip..])),
            (Some(_), None) => false,
            (Some((word, rest)), Some((first, others))) => {
                (*word == "*" || word == first) && matches(rest, others)
            }
        }
    }

    fn split(key: &str) -> Vec<&str> {
        if key.is_empty() { Vec::new() } else { key.split('.').collect() }
    }

    fn routed(router: &TopicRouter, key: &str) -> BTreeSet<Destination> {
        let mut all = BTreeSet::new();
        router.route(key, &mut |destination| {
            all.insert(destination.clone());
        });
        all
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            patterns in prop::collection::vec("([ab*#](\\.[ab*#]){0,4})?", 0..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            key in "([abc](\\.[abc]){0,5})?",
        ) {
            let mut router = TopicRouter::new(1);
            for (index, pattern) in patterns.iter().enumerate() {
                router.bind(&Binding::to_queue("x", &format!("q{index}"), pattern));
            }
            let mut expected = BTreeSet::new();
            for (index, pattern) in patterns.iter().enumerate() {
                let name = format!("q{index}");
                if removed[index] {
                    router.unbind(&Binding::to_queue("x", &name, pattern));
                } else if matches(&split(pattern), &split(&key)) {
                    expected.insert(Destination::Queue(name.into()));
                }
            }
            prop_assert_eq!(routed(&router, &key), expected);
        }
    }

    #[test]
    fn many_hashes_stay_cheap() {
        let mut router = TopicRouter::new(1);
        let pattern = vec!["#"; 100].join(".");
        router.bind(&Binding::to_queue("x", "q", &pattern));
        let key = vec!["a"; 120].join(".");
        assert_eq!(routed(&router, &key).len(), 1);
    }

    #[test]
    fn few_words_and_many_find_the_same() {
        let mut router = TopicRouter::new(1);
        let name = |number: usize| format!("q{number}");
        let all = 3 * FEW_MAX;
        for number in 0..all {
            router.bind(&Binding::to_queue("x", &name(number), &format!("a.{number}.b")));
            for known in 0..=number {
                let wanted = BTreeSet::from([Destination::Queue(name(known).into())]);
                assert_eq!(routed(&router, &format!("a.{known}.b")), wanted);
            }
            assert!(routed(&router, &format!("a.{}.b", number + 1)).is_empty());
        }
        for number in 0..all {
            router.unbind(&Binding::to_queue("x", &name(number), &format!("a.{number}.b")));
            assert!(routed(&router, &format!("a.{number}.b")).is_empty());
        }
        assert!(router.root.is_empty());
    }

    #[test]
    fn nothing_stays_behind_an_unbind() {
        let mut router = TopicRouter::new(1);
        for pattern in ["a.b.c", "a.*.#", "#", ""] {
            router.bind(&Binding::to_queue("x", "q", pattern));
            router.unbind(&Binding::to_queue("x", "q", pattern));
        }
        assert!(router.root.is_empty());
    }
}
