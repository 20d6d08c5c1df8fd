//! The topic exchange: keys are words between dots; in a binding key `*` stands for one word and
//! `#` for none or more (0-9-1 specification 3.1.3.3).
//!
//! A trie of words. Matching walks it word by word; a pair of node and position is entered at most
//! once, so that a key's cost is bounded by (nodes × words) however many `#` a binding has.

use std::sync::Arc;

use hashbrown::HashSet;
use imbl::OrdMap;

use super::{Destination, Targets, add_target, remove_target};
use crate::definitions::Binding;

#[derive(Debug, Clone, Default)]
struct Node {
    words: OrdMap<Arc<str>, Arc<Node>>,
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

    fn child_mut(&mut self, word: &str) -> &mut Self {
        let child = match word {
            "*" => self.star.get_or_insert_default(),
            "#" => self.hash.get_or_insert_default(),
            _ => self.words.entry(word.into()).or_default(),
        };
        Arc::make_mut(child)
    }

    /// Removes one binding below; at most 128 deep, since a key has at most 255 bytes.
    fn remove<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>, destination: &Destination) {
        let Some(word) = words.next() else {
            remove_target(&mut self.targets, destination);
            return;
        };
        let slot = match word {
            "*" => self.star.as_mut(),
            "#" => self.hash.as_mut(),
            _ => self.words.get_mut(word),
        };
        let Some(child) = slot else { return };
        let child = Arc::make_mut(child);
        child.remove(words, destination);
        if !child.is_empty() {
            return;
        }
        match word {
            "*" => self.star = None,
            "#" => self.hash = None,
            _ => {
                self.words.remove(word);
            }
        }
    }
}

/// The words of a key; the empty key has none.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(|_| !key.is_empty())
}

#[derive(Debug, Clone, Default)]
pub(crate) struct TopicRouter {
    root: Node,
}

impl TopicRouter {
    pub(super) fn bind(&mut self, binding: &Binding) {
        let mut node = &mut self.root;
        for word in words(&binding.routing_key) {
            node = node.child_mut(word);
        }
        add_target(&mut node.targets, &binding.destination);
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        self.root.remove(&mut words(&binding.routing_key), &binding.destination);
    }

    pub(super) fn route(&self, key: &str, found: &mut dyn FnMut(&Destination)) {
        let words: Vec<&str> = words(key).collect();
        let mut entered = HashSet::new();
        let mut open = vec![(&self.root, 0)];
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
                node.targets.keys().for_each(&mut *found);
                continue;
            };
            if let Some(next) = node.words.get(*word) {
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
            let mut router = TopicRouter::default();
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
        let mut router = TopicRouter::default();
        let pattern = vec!["#"; 100].join(".");
        router.bind(&Binding::to_queue("x", "q", &pattern));
        let key = vec!["a"; 120].join(".");
        assert_eq!(routed(&router, &key).len(), 1);
    }

    #[test]
    fn nothing_stays_behind_an_unbind() {
        let mut router = TopicRouter::default();
        for pattern in ["a.b.c", "a.*.#", "#", ""] {
            router.bind(&Binding::to_queue("x", "q", pattern));
            router.unbind(&Binding::to_queue("x", "q", pattern));
        }
        assert!(router.root.is_empty());
    }
}
