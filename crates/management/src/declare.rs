//! What a route declares of itself beside its method, path and handler: what it takes and gives.
//!
//! Invariant: the keys that a body must have are refused by this declaration and no other, so that
//! what the document of the interface (`crate::openapi`) says of them is so.

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Truth,
    /// A whole number.
    Number,
    /// A whole number that is no smaller.
    From(u64),
    /// A whole number between two, or one of them.
    Between(u64, u64),
    Object,
    /// Any JSON.
    Any,
    Texts,
    /// Whole numbers from 0.
    Numbers,
    /// Tags: a list of texts, or one with commas.
    Tags,
    /// One of some words.
    Word(&'static [&'static str]),
}

/// Whether a key must be in a body, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Optional,
    Required,
    /// Required, which the resource says in words of its own.
    OwnWords,
}

/// A key of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
}

/// A key that must be there.
pub(crate) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Required }
}

/// A key that may be there.
pub(crate) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Optional }
}

/// A key that must be there, which the resource itself checks.
pub(crate) const fn own(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::OwnWords }
}

/// A body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// None is looked at.
    None,
    Fields(&'static [Field]),
    /// A file of definitions, as JSON or in a form.
    Definitions,
}

/// A parameter of a query that is not of all lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    pub(crate) words: &'static str,
}

/// A parameter that may be there.
pub(crate) const fn asks(name: &'static str, kind: Kind, words: &'static str) -> Asked {
    Asked { name, kind, need: Need::Optional, words }
}

/// How a request is answered that is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// A list that is sorted, and cut into pages if the query says so.
    Page,
    /// A list that is sorted.
    List,
    /// A list as it is.
    Array,
    /// An object of which columns may be chosen.
    One,
    /// An object.
    Object,
    /// 201 if something was made, else 204.
    Put,
    /// 201 with the place of what was made.
    Made,
    /// 204.
    Nothing,
    /// 200 if all is well, else 503.
    Health,
}
