//! The destinations of one binding key, each with the number of its bindings, in order.
//!
//! Mostly there is one: a few are kept in place, and only many take a persistent map.

use imbl::OrdMap;
use smallvec::SmallVec;

use super::Destination;

/// Most destinations that are kept in place, and are copied with what they are in.
const FEW_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(super) enum Targets {
    /// Sorted.
    Few(SmallVec<[(Destination, u32); 1]>),
    Many(OrdMap<Destination, u32>),
}

impl Default for Targets {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Targets {
    pub(super) fn add(&mut self, destination: &Destination) {
        let few = match self {
            Self::Many(many) => {
                *many.entry(destination.clone()).or_insert(0) += 1;
                return;
            }
            Self::Few(few) => few,
        };
        match few.binary_search_by(|(other, _)| other.cmp(destination)) {
            Ok(at) => few[at].1 += 1,
            Err(at) if few.len() < FEW_MAX => few.insert(at, (destination.clone(), 1)),
            Err(_) => {
                let mut many: OrdMap<_, _> = few.drain(..).collect();
                many.insert(destination.clone(), 1);
                *self = Self::Many(many);
            }
        }
    }

    pub(super) fn remove(&mut self, destination: &Destination) {
        match self {
            Self::Few(few) => {
                let Ok(at) = few.binary_search_by(|(other, _)| other.cmp(destination)) else {
                    return;
                };
                few[at].1 -= 1;
                if few[at].1 == 0 {
                    few.remove(at);
                }
            }
            Self::Many(many) => {
                let Some(count) = many.get_mut(destination) else { return };
                *count -= 1;
                if *count == 0 {
                    many.remove(destination);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(super) fn for_each<'a>(&'a self, found: &mut dyn FnMut(&'a Destination)) {
        match self {
            Self::Few(few) => few.iter().for_each(|(destination, _)| found(destination)),
            Self::Many(many) => many.keys().for_each(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(number: usize) -> Destination {
        Destination::Queue(format!("q{number:03}").into())
    }

    #[test]
    fn few_and_many_hold_the_same() {
        let mut targets = Targets::default();
        for count in 1..=3 * FEW_MAX {
            for number in (0..count).rev() {
                targets.add(&queue(number));
                targets.add(&queue(number));
            }
            let mut seen = Vec::new();
            targets.for_each(&mut |destination| seen.push(destination.clone()));
            assert_eq!(seen, (0..count).map(queue).collect::<Vec<_>>());
            for number in 0..count {
                targets.remove(&queue(number));
                assert!(!targets.is_empty());
            }
            for number in 0..=count {
                targets.remove(&queue(number));
            }
            assert!(targets.is_empty());
        }
    }
}
