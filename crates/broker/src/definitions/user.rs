//! A user: name, tags and what is stored of the password.

use serde::{Deserialize, Serialize};

use crate::auth::PasswordHash;
use crate::ids::Name;

/// The tag of those who may do everything in the management interface.
pub const ADMINISTRATOR: &str = "administrator";
/// The tag of those who may publish in the name of others.
pub const IMPERSONATOR: &str = "impersonator";

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The login.
    pub name: Name,
    /// What the user may see and do in the management interface; any word may be one.
    pub tags: Vec<Name>,
    /// What is stored of the password.
    pub password: PasswordHash,
}

impl User {
    /// Whether the user has a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|found| **found == *tag)
    }
}

/// A user as earlier builds logged it, when there were neither tags nor permissions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserWithoutTags {
    /// The login.
    pub name: Name,
    salt: [u8; 4],
    hash: [u8; 32],
}

impl std::fmt::Debug for UserWithoutTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserWithoutTags").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<&UserWithoutTags> for User {
    fn from(old: &UserWithoutTags) -> Self {
        let password = PasswordHash::sha256(old.salt, old.hash);
        Self { name: old.name.clone(), tags: Vec::new(), password }
    }
}
