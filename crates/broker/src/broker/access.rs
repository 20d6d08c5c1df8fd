//! Users, vhosts and permissions: changing them, and checking a login.
//!
//! Invariant: a change is in force for whoever asks next when its call returns. Who may hold
//! something by the old state (open connections) is told by [`Broker::on_access_change`].
//! What is checked by hashing blocks for as long as a hash takes: never call it on a thread that
//! serves connections.

use std::sync::{Arc, MutexGuard, OnceLock};

use arc_swap::ArcSwap;

use super::policies::no_user;
use super::{Broker, Principal};
use crate::auth::{Cost, InvalidPattern, PasswordHash, Permissions, TopicPermissions};
use crate::definitions::{ADMINISTRATOR, Command, User};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{Name, Timestamp};
use crate::log::{Entry, Position};

/// A change that concerns open connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// The user is gone: its connections are to be closed.
    UserDeleted(Name),
    /// The vhost is gone: connections to it are to be closed.
    VhostDeleted(Name),
    /// What the user may do has changed.
    Permissions(Name),
    /// Definitions were taken over: what anybody may do may have changed.
    Any,
}

/// By what a user is to be known.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A password, which is hashed.
    Password(&'a str),
    /// A hash as definitions have it.
    Hash {
        /// Its algorithm; without it, RabbitMQ's default.
        algorithm: Option<&'a str>,
        /// The hash.
        hash: &'a str,
    },
    /// No password: nobody logs in with one.
    None,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Hash { .. } => "Hash",
            Self::None => "None",
        })
    }
}

type Listener = Box<dyn Fn(&AccessChange) + Send + Sync>;

/// What the broker keeps for logins.
pub(super) struct Access {
    changed: OnceLock<Listener>,
    cost: ArcSwap<Cost>,
}

impl Default for Access {
    fn default() -> Self {
        Self { changed: OnceLock::new(), cost: ArcSwap::from_pointee(Cost::RECOMMENDED) }
    }
}

fn invalid(error: InvalidPattern) -> Refusal {
    Refusal::precondition(error.to_string())
}

fn check_name(what: &str, name: &str) -> Result<Name, Refusal> {
    match name.len() {
        0 => Err(Refusal::precondition(format!("the {what} is empty"))),
        1..=255 => Ok(name.into()),
        _ => Err(Refusal::precondition(format!("the {what} is longer than 255 bytes"))),
    }
}

pub(super) fn check_tags(tags: &[&str]) -> Result<Vec<Name>, Refusal> {
    let tags = tags.iter().map(|tag| tag.trim()).filter(|tag| !tag.is_empty());
    tags.map(|tag| check_name("tag", tag)).collect()
}

impl Broker {
    /// Has `listener` called with each change that concerns open connections, behind the change.
    /// It must not block, nor call the broker. Only the first one counts.
    pub fn on_access_change(&self, listener: impl Fn(&AccessChange) + Send + Sync + 'static) {
        let _ = self.access.changed.set(Box::new(listener));
    }

    fn tell(&self, change: &AccessChange) {
        if let Some(listener) = self.access.changed.get() {
            listener(change);
        }
    }

    /// Tells of every user, once definitions were taken over.
    pub(super) fn tell_all(&self) {
        self.tell(&AccessChange::Any);
    }

    /// Sets what hashes of passwords cost from now on.
    pub fn set_password_cost(&self, cost: Cost) {
        self.access.cost.store(Arc::new(cost));
    }

    fn cost(&self) -> Cost {
        **self.access.cost.load()
    }

    /// Hashes a password with fresh salt. Takes as long as a hash does.
    pub(super) fn hash(&self, password: &[u8]) -> PasswordHash {
        PasswordHash::new(password, self.cost(), self.tokens.bits())
    }

    /// A hash of a password in RabbitMQ's form, to be put into a file of definitions: weaker than
    /// what is stored here, which a login will replace it by.
    pub fn hash_for_definitions(&self, password: &[u8]) -> String {
        PasswordHash::salted(password, self.tokens.bits()).export().1
    }

    fn stored(&self, credential: Credential<'_>) -> Result<PasswordHash, Refusal> {
        match credential {
            Credential::Password("") => Err(Refusal::precondition("the password is empty")),
            Credential::Password(password) => Ok(self.hash(password.as_bytes())),
            Credential::Hash { algorithm, hash } => PasswordHash::import(algorithm, hash)
                .map_err(|error| Refusal::precondition(error.to_string())),
            Credential::None => Ok(PasswordHash::NONE),
        }
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Result<Arc<User>, Refusal> {
        self.topology().users.get(name).cloned().ok_or_else(|| no_user(name))
    }

    /// Adds a user, or replaces the one of that name, whose permissions stay. Takes as long as a
    /// hash does if a password is given.
    pub fn put_user(
        &self,
        name: &str,
        credential: Credential<'_>,
        tags: &[&str],
    ) -> Result<Position, Refusal> {
        let name = check_name("user's name", name)?;
        let (tags, password) = (check_tags(tags)?, self.stored(credential)?);
        Ok(self.store_user(&self.write(), User { name, tags, password }))
    }

    fn store_user(&self, writer: &MutexGuard<'_, ()>, user: User) -> Position {
        let change = AccessChange::Permissions(user.name.clone());
        let position = self.apply(writer, &Command::PutUser(user), true).1;
        self.tell(&change);
        position
    }

    /// Adds a user who may do everything in the vhost of that name, which must be there, and in
    /// the management interface.
    pub fn put_administrator(
        &self,
        name: &str,
        password: &str,
        vhost: &str,
    ) -> Result<Position, Refusal> {
        let known = PasswordHash::known(password.as_bytes(), self.cost());
        let known = known.map(|hash| hash.export());
        let credential = match &known {
            Some((algorithm, hash)) => Credential::Hash { algorithm: Some(algorithm), hash },
            None => Credential::Password(password),
        };
        self.put_user(name, credential, &[ADMINISTRATOR])?;
        self.set_permissions(name, vhost, Permissions::all())
    }

    /// Replaces a user's tags.
    pub fn set_tags(&self, name: &str, tags: &[&str]) -> Result<Position, Refusal> {
        let tags = check_tags(tags)?;
        let writer = self.write();
        let user = User { tags, ..(*self.user(name)?).clone() };
        Ok(self.store_user(&writer, user))
    }

    /// Replaces what is stored of a user's password. Connections that are open stay.
    pub fn set_credential(
        &self,
        name: &str,
        credential: Credential<'_>,
    ) -> Result<Position, Refusal> {
        self.user(name)?;
        let password = self.stored(credential)?;
        let writer = self.write();
        let user = User { password, ..(*self.user(name)?).clone() };
        Ok(self.store_user(&writer, user))
    }

    /// Removes a user with its permissions and limits.
    pub fn delete_user(&self, name: &str) -> Result<Position, Refusal> {
        let writer = self.write();
        let user = self.user(name)?;
        let position = self.apply(&writer, &Command::DeleteUser(user.name.clone()), true).1;
        self.tell(&AccessChange::UserDeleted(user.name.clone()));
        Ok(position)
    }

    /// Adds a vhost; one that exists stays as it is.
    pub fn add_vhost(&self, name: &str) -> Position {
        let writer = self.write();
        self.apply(&writer, &Command::AddVhost(name.into()), true).1
    }

    /// Removes a vhost with all that is in it. If the process ends meanwhile, some of its queues
    /// are gone and the vhost is there.
    pub fn delete_vhost(&self, name: &str, now: Timestamp) -> Result<Position, Refusal> {
        let writer = self.write();
        let vhost = self.administered(name)?;
        if vhost.metadata.protected {
            let text = format!("vhost '{name}' is protected from deletion");
            return Err(Refusal::precondition(text));
        }
        for queue in vhost.queues.values() {
            self.delete_with_vhost(&writer, queue, now);
        }
        let position = self.apply(&writer, &Command::DeleteVhost(vhost.name.clone()), true).1;
        drop(writer);
        self.tell(&AccessChange::VhostDeleted(vhost.name.clone()));
        Ok(position)
    }

    /// Sets what a user may do in a vhost.
    pub fn set_permissions(
        &self,
        user: &str,
        vhost: &str,
        granted: Permissions,
    ) -> Result<Position, Refusal> {
        self.change_access(user, vhost, |vhost, user| Command::SetPermissions(vhost, user, granted))
    }

    /// Compiles and sets what a user may do in a vhost; a pattern that does not compile is refused
    /// with the reason. The patterns are those for configure, write and read.
    pub fn grant(
        &self,
        user: &str,
        vhost: &str,
        [configure, write, read]: [&str; 3],
    ) -> Result<Position, Refusal> {
        let granted = Permissions::new(configure, write, read).map_err(invalid)?;
        self.set_permissions(user, vhost, granted)
    }

    /// Takes all permissions in a vhost from a user, who then may not enter it.
    pub fn clear_permissions(&self, user: &str, vhost: &str) -> Result<Position, Refusal> {
        self.change_access(user, vhost, Command::ClearPermissions)
    }

    /// Sets which routing keys a user may use with a topic exchange: the patterns for write and
    /// read, in which `{username}`, `{vhost}` and `{client_id}` stand for themselves.
    pub fn grant_topic(
        &self,
        user: &str,
        vhost: &str,
        exchange: &str,
        [write, read]: [&str; 2],
    ) -> Result<Position, Refusal> {
        let granted = TopicPermissions::new(write, read).map_err(invalid)?;
        let exchange = check_name("exchange's name", exchange)?;
        self.change_access(user, vhost, |vhost, user| {
            Command::SetTopicPermissions(vhost, user, exchange, granted)
        })
    }

    /// Takes a user's limits on routing keys away, for one exchange or for all of a vhost.
    pub fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<Position, Refusal> {
        let found = self.administered(vhost)?;
        let wanted = |of: &&(Name, Name)| {
            *of.0 == *user && exchange.is_none_or(|exchange| *of.1 == *exchange)
        };
        let mut position = Position::START;
        for (_, exchange) in found.topic_permissions.keys().filter(wanted) {
            position = self.change_access(user, vhost, |vhost, user| {
                Command::ClearTopicPermissions(vhost, user, exchange.clone())
            })?;
        }
        Ok(position)
    }

    fn change_access(
        &self,
        user: &str,
        vhost: &str,
        command: impl FnOnce(Name, Name) -> Command,
    ) -> Result<Position, Refusal> {
        let writer = self.write();
        let (user, vhost) = (self.user(user)?, self.administered(vhost)?);
        let command = command(vhost.name.clone(), user.name.clone());
        let position = self.apply(&writer, &command, true).1;
        self.tell(&AccessChange::Permissions(user.name.clone()));
        Ok(position)
    }

    /// Checks a login. Takes as long as a hash does, whether there is such a user or not. A
    /// password whose stored hash is weaker than it should be is hashed anew and stored.
    pub fn authenticate(&self, name: &str, password: &[u8]) -> Option<Arc<User>> {
        let found = self.topology().users.get(name).cloned();
        let stored = found.as_ref().map_or(&PasswordHash::NONE, |user| &user.password);
        if !stored.verify(password, self.cost()) {
            return None;
        }
        let user = found?;
        Some(self.strengthen(&user, password).unwrap_or(user))
    }

    /// Stores a stronger hash of the password that was just verified, if it is still the user's.
    fn strengthen(&self, user: &Arc<User>, password: &[u8]) -> Option<Arc<User>> {
        if !user.password.is_weaker_than(self.cost()) {
            return None;
        }
        let hash = self.hash(password);
        let writer = self.write();
        let now = self.user(&user.name).ok().filter(|now| now.password == user.password)?;
        let stronger = User { password: hash, ..(*now).clone() };
        self.apply(&writer, &Command::PutUser(stronger), true);
        self.user(&user.name).ok()
    }

    /// Whether `who` may open the vhost; its name as it is stored.
    pub fn check_vhost(&self, who: &Principal, vhost: &str) -> Result<Name, Refusal> {
        let topology = self.topology();
        topology.permit_vhost(who, vhost)?;
        topology.vhosts.get(vhost).map(|vhost| vhost.name.clone()).ok_or_else(|| {
            Refusal::new(RefusalKind::NotAllowed, format!("vhost {vhost} not found"))
        })
    }

    /// Users of builds that knew no permissions could do everything: they still can.
    pub(super) fn grant_what_was(&self, users: &[Name]) {
        let writer = self.write();
        let topology = self.topology().clone();
        let mut commands = Vec::new();
        for user in users.iter().filter_map(|name| topology.users.get(name)) {
            let tags = vec![ADMINISTRATOR.into()];
            commands.push(Command::PutUser(User { tags, ..(**user).clone() }));
            commands.extend(topology.vhosts.keys().map(|vhost| {
                Command::SetPermissions(vhost.clone(), user.name.clone(), Permissions::all())
            }));
        }
        // As one group, so that no crash leaves a part of it.
        self.apply_all(&writer, commands);
    }

    fn apply_all(&self, _writer: &MutexGuard<'_, ()>, commands: Vec<Command>) {
        let mut topology = (**self.topology()).clone();
        commands.iter().for_each(|command| drop(topology.apply(command)));
        let entries: Vec<Entry> = commands.into_iter().map(Entry::Define).collect();
        if !entries.is_empty() {
            let position = self.log.append(&entries).0;
            self.defined.store(position, std::sync::atomic::Ordering::Release);
            self.topology.store(Arc::new(topology));
        }
    }
}
