//! Who somebody is and what they may: passwords as they are stored, patterns of permissions,
//! scopes of tokens, and the one function that says yes or no, for every protocol and the
//! administration.
//!
//! Invariants: what is missing refuses (no user, no permission, an empty password, a pattern that
//! does not compile); a secret is never printed; a variable in a pattern stands for its text only.

mod password;
mod pattern;
mod permit;
mod scopes;

pub use password::{Cost, HashError, PasswordHash, Secret};
pub use pattern::{InvalidPattern, Pattern, TopicPattern};
pub use permit::{Permission, Permissions, TopicPermissions};
pub use scopes::Scopes;
