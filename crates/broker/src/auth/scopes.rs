//! Permissions that a token brings, as scopes in RabbitMQ's syntax: `configure:vhost/name`,
//! `write:vhost/name` and `read:vhost/name`, with a third part for the routing keys of topic
//! exchanges, and `tag:administrator` and the like for tags.
//!
//! In each part `*` stands for any text, `{vhost}` for the vhost that is asked about and `{claim}`
//! for the text of that claim; `%2F` and the like, and `+`, are decoded as in a query string.
//!
//! Invariants: a scope that is not understood grants nothing; a variable stands for its text only;
//! matching takes no more than the name's length times the pattern's, and that is bounded, however
//! long the claims are that it names.

use std::borrow::Cow;

use super::Permission;
use crate::ids::Name;

/// The longest tag, in bytes.
const TAG_MAX: usize = 255;
/// The longest name that a pattern is asked about, in bytes: what has more text matches nothing.
const NAME_MAX: usize = 255;

/// A piece of a pattern between two wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Vhost,
}

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wildcards {
    /// What stands before, between and behind the wildcards: one more than there are of these.
    segments: Vec<Vec<Piece>>,
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl Wildcards {
    /// Reads a part of a scope; none if it is malformed or names a claim that there is not.
    fn parse(part: &str, claim: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let mut segments = vec![Vec::new()];
        let mut text = Vec::new();
        let mut rest = part.as_bytes();
        // Of the text so far, a vhost counting as one byte.
        let mut length = 0;
        let end = |pieces: &mut Vec<Piece>, text: &mut Vec<u8>| {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(text)));
            }
        };
        while let [first, behind @ ..] = rest {
            rest = behind;
            length += 1;
            match *first {
                b'*' => {
                    length -= 1;
                    end(segments.last_mut()?, &mut text);
                    // One behind another is for the same.
                    if segments.len() == 1 || !segments.last()?.is_empty() {
                        segments.push(Vec::new());
                    }
                }
                b'+' => text.push(b' '),
                b'%' => {
                    let ([high, low], behind) = rest.split_first_chunk::<2>()?;
                    text.push(hex(*high)? << 4 | hex(*low)?);
                    rest = behind;
                }
                b'{' => {
                    let end_of_name = rest.iter().position(|byte| *byte == b'}')?;
                    let name = std::str::from_utf8(&rest[..end_of_name]).ok()?;
                    if name == "vhost" {
                        end(segments.last_mut()?, &mut text);
                        segments.last_mut()?.push(Piece::Vhost);
                    } else {
                        let claim = claim(name)?;
                        text.extend_from_slice(claim.as_bytes());
                        length = length - 1 + claim.len();
                    }
                    rest = &rest[end_of_name + 1..];
                }
                other => text.push(other),
            }
            if length > NAME_MAX {
                return None;
            }
        }
        end(segments.last_mut()?, &mut text);
        Some(Self { segments })
    }

    fn matches(&self, text: &str, vhost: &str) -> bool {
        let of = |pieces| literal(pieces, vhost);
        let text = text.as_bytes();
        let [first, further @ ..] = &self.segments[..] else { return false };
        let Some(mut rest) = text.strip_prefix(&*of(first)) else { return false };
        let [between @ .., last] = further else { return rest.is_empty() };
        let Some(before_last) = rest.strip_suffix(&*of(last)) else { return false };
        rest = before_last;
        for pieces in between {
            let wanted = of(pieces);
            let found = find(rest, &wanted);
            let Some(at) = found else { return false };
            rest = &rest[at + wanted.len()..];
        }
        true
    }
}

/// The text that pieces stand for.
fn literal<'a>(pieces: &'a [Piece], vhost: &'a str) -> Cow<'a, [u8]> {
    let text = |piece: &'a Piece| match piece {
        Piece::Text(text) => &text[..],
        Piece::Vhost => vhost.as_bytes(),
    };
    match pieces {
        [] => Cow::Borrowed(&[]),
        [one] => Cow::Borrowed(text(one)),
        many => Cow::Owned(many.iter().flat_map(text).copied().collect()),
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    match wanted.len() {
        0 => Some(0),
        length => text.windows(length).position(|window| window == wanted),
    }
}

/// One scope for a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    permission: Permission,
    vhost: Wildcards,
    name: Wildcards,
    /// Without it, no routing key of a topic exchange.
    routing_key: Option<Wildcards>,
}

impl Grant {
    fn parse(scope: &str, claim: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let (permission, resource) = scope.split_once(':')?;
        let permission = match permission {
            "configure" => Permission::Configure,
            "write" => Permission::Write,
            "read" => Permission::Read,
            _ => return None,
        };
        let parse = |part| Wildcards::parse(part, claim);
        let mut parts = resource.split('/');
        let (vhost, name) = (parse(parts.next()?)?, parse(parts.next()?)?);
        let routing_key = match parts.next() {
            Some(part) => Some(parse(part)?),
            None => None,
        };
        parts.next().is_none().then_some(Self { permission, vhost, name, routing_key })
    }

    fn is_for(&self, permission: Permission, vhost: &str, name: &str) -> bool {
        self.permission == permission
            && self.vhost.matches(vhost, vhost)
            && self.name.matches(name, vhost)
    }
}

/// What a token lets who brings it do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes {
    grants: Vec<Grant>,
    tags: Vec<Name>,
}

impl Scopes {
    /// Reads scopes from which the prefix has been taken. `claim` gives the texts of the token's
    /// other claims.
    pub fn parse<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        claim: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut read = Self::default();
        for scope in scopes {
            match scope.strip_prefix("tag:") {
                Some(tag) if (1..=TAG_MAX).contains(&tag.len()) => read.tags.push(tag.into()),
                Some(_) => {}
                None => read.grants.extend(Grant::parse(scope, claim)),
            }
        }
        read.tags.sort_unstable();
        read.tags.dedup();
        read
    }

    /// The tags, sorted, as those of a user are meant.
    pub fn tags(&self) -> &[Name] {
        &self.tags
    }

    /// Whether that tag is among them.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|one| **one == *tag)
    }

    /// Whether any permission is for something in the vhost.
    pub(super) fn permit_vhost(&self, vhost: &str) -> bool {
        self.grants.iter().any(|grant| grant.vhost.matches(vhost, vhost))
    }

    pub(super) fn permit(&self, permission: Permission, vhost: &str, name: &str) -> bool {
        self.grants.iter().any(|grant| grant.is_for(permission, vhost, name))
    }

    pub(super) fn permit_topic(
        &self,
        permission: Permission,
        (vhost, exchange): (&str, &str),
        routing_key: &str,
    ) -> bool {
        self.grants.iter().any(|grant| {
            let key = grant.routing_key.as_ref();
            key.is_some_and(|key| key.matches(routing_key, vhost))
                && grant.is_for(permission, vhost, exchange)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(name: &str) -> Option<String> {
        match name {
            "sub" => Some("a*/%2Fb".to_owned()),
            "team" => Some("blue".to_owned()),
            _ => None,
        }
    }

    fn scopes(texts: &[&str]) -> Scopes {
        Scopes::parse(texts.iter().copied(), &claim)
    }

    #[test]
    fn a_scope_is_for_one_permission_and_what_its_parts_match() {
        for (permission, word) in [
            (Permission::Configure, "configure"),
            (Permission::Write, "write"),
            (Permission::Read, "read"),
        ] {
            let granted = scopes(&[&format!("{word}:%2F/orders.*")]);
            for asked in [Permission::Configure, Permission::Write, Permission::Read] {
                assert_eq!(granted.permit(asked, "/", "orders.new"), asked == permission);
            }
            assert!(!granted.permit(permission, "/", "order") && granted.permit_vhost("/"));
            assert!(!granted.permit(permission, "other", "orders.") && !granted.permit_vhost("o"));
        }
    }

    #[test]
    fn wildcards_match_any_text_and_nothing_else_is_special() {
        let matches = |pattern: &str, name: &str| {
            scopes(&[&format!("read:v/{pattern}")]).permit(Permission::Read, "v", name)
        };
        for (pattern, name) in [
            ("*", ""),
            ("*", "anything/at all"),
            ("", ""),
            ("a*b", "ab"),
            ("a*b", "abb"),
            ("a**b", "a-b"),
            ("*a*b*", "xaxbx"),
            ("a.b", "a.b"),
            ("%2a", "*"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("%C3%BC", "ü"),
            ("[x]+", "[x] "),
            ("{team}-*", "blue-1"),
            ("*-{team}-{vhost}", "x-blue-v"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("a.b", "axb"),
            ("%2a", "x"),
            ("*a*a", "a"),
            ("%2", "%2"),
            ("%zz", "%zz"),
            ("%+1", "\u{1}"),
            ("{none}", "none"),
            ("{team", "{team"),
            ("{team}", "BLUE"),
            // A claim that is itself a pattern, or has slashes: its text, and nothing else.
            ("{sub}", "axyz"),
            ("{sub}", "ab"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(matches("{sub}", "a*/%2Fb"));
    }

    #[test]
    fn what_no_name_is_long_enough_for_takes_no_memory() {
        let parse = |part: &str, claim: &str| {
            let read = Wildcards::parse(part, &|_| Some(claim.to_owned()))?;
            let pieces: usize = read.segments.iter().map(Vec::len).sum();
            Some((read.segments.len(), pieces))
        };
        let (name, longer) = ("n".repeat(NAME_MAX), "n".repeat(NAME_MAX + 1));
        assert_eq!(parse(&name, ""), Some((1, 1)));
        assert_eq!(parse("*{long}*", &name), Some((3, 1)));
        assert_eq!(parse(&"{vhost}".repeat(NAME_MAX), ""), Some((1, NAME_MAX)));
        assert_eq!(parse(&format!("a{}", "*".repeat(10_000)), ""), Some((2, 1)));
        assert_eq!(parse(&"{empty}*".repeat(1_000), ""), Some((2, 0)));
        for part in [&longer, "{long}", &"{vhost}".repeat(NAME_MAX + 1), &"a*".repeat(256)] {
            assert_eq!(parse(part, &longer), None, "{part}");
        }
    }

    #[test]
    fn topics_need_a_third_part() {
        let granted = scopes(&["write:*/logs/{team}.*", "read:*/*"]);
        let topic =
            |permission, exchange, key| granted.permit_topic(permission, ("v", exchange), key);
        assert!(topic(Permission::Write, "logs", "blue.x"));
        assert!(!topic(Permission::Write, "logs", "red.x"));
        assert!(!topic(Permission::Write, "other", "blue.x"));
        assert!(!topic(Permission::Read, "logs", "blue.x"));
        assert!(granted.permit(Permission::Write, "v", "logs"), "the exchange itself");
    }

    #[test]
    fn what_is_no_scope_grants_nothing_and_tags_are_tags() {
        let wrong = [
            "",
            ":",
            "read",
            "read:",
            "read:v",
            "read:v/n/k/x",
            "READ:*/*",
            "delete:*/*",
            "*:*/*",
            "tag:",
            " read:*/*",
            "read:%/*",
            "read:*/{}",
        ];
        assert_eq!(scopes(&wrong), Scopes::default());
        let tagged = scopes(&["tag:management", "tag:administrator", "tag:management"]);
        assert!(tagged.has_tag("administrator") && !tagged.has_tag("monitoring"));
        assert_eq!(tagged.tags().len(), 2);
        assert!(!tagged.permit_vhost("/"), "a tag opens no vhost");
    }

    /// The obvious matcher, in time that grows with every wildcard.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            [first, rest @ ..] => text.first() == Some(first) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matches_as_the_naive_matcher(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            let read = Wildcards::parse(&pattern, &claim).unwrap();
            prop_assert_eq!(read.matches(&text, "v"), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_scope_never_panics(scope in ".*", name in ".*") {
            for scope in [scope.clone(), format!("read:{scope}"), format!("read:*/*/{scope}")] {
                let read = scopes(&[&scope]);
                read.permit(Permission::Read, &name, &name);
                read.permit_topic(Permission::Read, (&name, &name), &name);
            }
        }
    }
}
