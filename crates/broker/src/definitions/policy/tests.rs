//! Which policy applies, what it comes to together with others, and what is refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::definitions::{Overflow, QueueSpec, RetryKind};
use crate::ids::QueueId;
use crate::message::FieldValue;

fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    FieldTable(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn int(number: i64) -> FieldValue {
    FieldValue::I64(number)
}

fn request<'a>(pattern: &'a str, apply_to: &'a str, definition: FieldTable) -> PolicyRequest<'a> {
    PolicyRequest { pattern, apply_to, definition, priority: 0 }
}

fn refused(kind: PolicyKind, request: &PolicyRequest<'_>) -> String {
    Policy::check(kind, "p", request).unwrap_err().text
}

fn policy(name: &str, pattern: &str, priority: i64, definition: FieldTable) -> Policy {
    let request = PolicyRequest { pattern, apply_to: "all", definition, priority };
    Policy::check(PolicyKind::Policy, name, &request).unwrap()
}

fn max_length(most: i64) -> FieldTable {
    table(&[("max-length", int(most))])
}

fn spec(arguments: FieldTable) -> QueueSpec {
    QueueSpec {
        id: QueueId(1),
        vhost: "/".into(),
        name: "q".into(),
        durable: true,
        auto_delete: false,
        owner: None,
        arguments,
    }
}

fn settings(arguments: &[(&str, FieldValue)], policies: &Policies) -> QueueSettings {
    let spec = spec(table(arguments));
    let declared = Arc::new(spec.settings());
    QueueSettings::clone(&policies.settings(&spec, &declared))
}

/// A policy and an operator policy for everything.
fn both(policy_fields: &[(&str, FieldValue)], operator: &[(&str, FieldValue)]) -> Policies {
    let mut policies = Policies::default();
    if !policy_fields.is_empty() {
        policies.put(PolicyKind::Policy, policy("p", "", 0, table(policy_fields)));
    }
    if !operator.is_empty() {
        policies.put(PolicyKind::Operator, policy("o", "", 0, table(operator)));
    }
    policies
}

#[test]
fn the_highest_priority_wins_and_of_equals_the_first_name() {
    let mut policies = Policies::default();
    for (name, pattern, priority) in
        [("b", "^q", 1), ("a", "q", 1), ("low", "", 0), ("c", "^x", 9), ("d", "q\\.", 5)]
    {
        policies.put(PolicyKind::Policy, policy(name, pattern, priority, max_length(1)));
    }
    let names = |queue| policies.for_queue(queue, false).names();
    assert_eq!(names("q"), (Some("a".into()), None));
    assert_eq!(names("xq"), (Some("c".into()), None));
    assert_eq!(names("q.1"), (Some("d".into()), None));
    assert_eq!(names("other"), (Some("low".into()), None));
    assert_eq!(policies.for_exchange("q.1").names().0, Some("d".into()));
    let order: Vec<_> = policies.all(PolicyKind::Policy).map(|one| &*one.name).collect();
    assert_eq!(order, ["c", "d", "a", "b", "low"]);
    policies.put(PolicyKind::Policy, policy("c", "^never$", 9, max_length(1)));
    policies.delete(PolicyKind::Policy, "a");
    policies.delete(PolicyKind::Operator, "b");
    assert_eq!(policies.for_queue("xq", false).names().0, Some("low".into()));
    assert_eq!(policies.for_queue("q", false).names().0, Some("b".into()));
}

#[test]
fn a_policy_is_for_what_it_says_and_for_types_that_know_its_keys() {
    let cases = [
        ("all", [true, true, true]),
        ("exchanges", [false, false, true]),
        ("queues", [true, true, false]),
        ("classic_queues", [true, false, false]),
        ("quorum_queues", [false, true, false]),
        ("streams", [false, false, false]),
    ];
    let applies = |policies: &Policies| {
        [
            policies.for_queue("q", false).policy.is_some(),
            policies.for_queue("q", true).policy.is_some(),
            policies.for_exchange("q").policy.is_some(),
        ]
    };
    for (apply_to, expected) in cases {
        let request = request(".*", apply_to, max_length(1));
        let mut policies = Policies::default();
        let checked = Policy::check(PolicyKind::Policy, "p", &request).unwrap();
        policies.put(PolicyKind::Policy, checked);
        assert_eq!(applies(&policies), expected, "{apply_to}");
    }
    let limit = both(&[("delivery-limit", int(3)), ("max-length", int(1))], &[]);
    assert_eq!(applies(&limit), [false, true, true]);
    let lazy = both(&[("queue-mode", "lazy".into()), ("max-length", int(1))], &[]);
    assert_eq!(applies(&lazy), [true, false, true]);
}

#[test]
fn policy_operator_policy_and_argument_come_together() {
    // Argument, policy, operator policy, and what is in force.
    let cases = [
        (None, Some(5), None, Some(5)),
        (None, None, Some(5), Some(5)),
        (None, Some(9), Some(5), Some(5)),
        (None, Some(5), Some(9), Some(5)),
        (Some(4), Some(5), Some(9), Some(4)),
        (Some(7), Some(5), Some(9), Some(5)),
        (Some(7), None, Some(6), Some(6)),
        (Some(7), None, None, Some(7)),
    ];
    for key in ["message-ttl", "expires", "max-length", "max-length-bytes"] {
        for (argument, policy, operator, expected) in cases {
            let field = |number: Option<i64>| number.map(|number| (key, int(number)));
            let policies = both(field(policy).as_slice(), field(operator).as_slice());
            let name = format!("x-{key}");
            let argument = argument.map(|number| (&*name, int(number)));
            let found = settings(argument.as_slice(), &policies);
            let found = match key {
                "message-ttl" => found.message_ttl_ms,
                "expires" => found.expires_ms,
                "max-length" => found.max_length,
                _ => found.max_length_bytes,
            };
            assert_eq!(found, expected, "{key} {argument:?} {policies:?}");
        }
    }
}

#[test]
fn what_is_no_limit_comes_from_the_argument_and_then_from_the_policy() {
    let policies = both(
        &[
            ("dead-letter-exchange", "of-policy".into()),
            ("dead-letter-routing-key", "key".into()),
            ("overflow", "reject-publish".into()),
        ],
        &[("overflow", "drop-head".into())],
    );
    let found = settings(&[("x-dead-letter-exchange", "of-argument".into())], &policies);
    assert_eq!(found.dead_letter_exchange.as_deref(), Some("of-argument"));
    assert_eq!(found.dead_letter_routing_key.as_deref(), Some("key"));
    assert_eq!(found.overflow, Overflow::DropHead, "the operator's counts");
    let rejecting = both(&[("overflow", "reject-publish".into())], &[]);
    let argument = ("x-overflow", FieldValue::from("drop-head"));
    assert_eq!(settings(std::slice::from_ref(&argument), &rejecting).overflow, Overflow::DropHead);
    let quorum = ("x-queue-type", FieldValue::from("quorum"));
    assert_eq!(settings(&[argument, quorum], &rejecting).overflow, Overflow::RejectPublish);
}

#[test]
fn a_delivery_limit_below_zero_is_none() {
    let cases = [(Some(-1), Some(5), Some(5)), (Some(3), Some(5), Some(3)), (Some(-1), None, None)];
    for (policy, operator, expected) in cases {
        let field = |number: Option<i64>| number.map(|number| ("delivery-limit", int(number)));
        let policies = both(field(policy).as_slice(), field(operator).as_slice());
        let found = settings(&[("x-queue-type", "quorum".into())], &policies);
        assert_eq!(found.delivery_limit, expected);
    }
}

#[test]
fn delayed_retry_needs_a_type_and_a_least_delay_wherever_from() {
    let argument = ("x-delayed-retry-type", FieldValue::from("all"));
    assert_eq!(settings(std::slice::from_ref(&argument), &Policies::default()).delayed_retry, None);
    let policies = both(
        &[("delayed-retry-min", int(10)), ("delayed-retry-max", int(100))],
        &[
            ("delayed-retry-min", int(20)),
            ("delayed-retry-max", int(50)),
            ("delayed-retry-jitter", int(30)),
        ],
    );
    let retry = settings(&[argument], &policies).delayed_retry.unwrap();
    assert_eq!((retry.kind, retry.min_ms, retry.max_ms), (RetryKind::All, 20, 50));
    assert_eq!(retry.jitter_percent, 30);
    let off = both(&[("delayed-retry-type", "disabled".into())], &[]);
    let arguments = [("x-delayed-retry-type", "failed".into()), ("x-delayed-retry-min", int(10))];
    assert!(settings(&arguments, &Policies::default()).delayed_retry.is_some());
    assert_eq!(settings(&arguments, &off).delayed_retry, None);
}

#[test]
fn a_wrong_definition_is_refused_in_the_words_of_rabbitmq() {
    let cases: [(&[(&str, FieldValue)], &str); 13] = [
        (&[], "no policy provided"),
        (&[("max-length", "x".into())], "<<\"x\">> is not a valid maximum length"),
        (&[("max-length", int(-1))], "-1 is not a valid maximum length"),
        (&[("expires", int(0))], "0 is not a valid queue expiry"),
        (&[("message-ttl", FieldValue::F64(1.5))], "1.5 is not a valid message TTL"),
        (&[("overflow", "no".into())], "<<\"no\">> is not a valid overflow value"),
        (&[("dead-letter-exchange", int(1))], "1 is not a valid dead letter exchange name"),
        (&[("max-age", "1x".into())], "<<\"1x\">> is not a valid max age"),
        (
            &[("max-length", int(1)), ("nonsense", int(1)), ("x", true.into())],
            "[{<<\"nonsense\">>,1},{<<\"x\">>,true}] are not recognised policy settings",
        ),
        (
            &[("max-priority", int(1))],
            "[{<<\"max-priority\">>,1}] are not recognised policy settings",
        ),
        (
            &[("delayed-retry-type", "all".into())],
            "delayed-retry-min is required when delayed-retry-type is all",
        ),
        (
            &[("delayed-retry-min", int(5)), ("delayed-retry-max", int(4))],
            "delayed-retry-max (4) must not be smaller than delayed-retry-min (5)",
        ),
        (
            &[("max-length", int(1)), ("max-length", int(2))],
            "[<<\"max-length\">>] duplicate keys not allowed",
        ),
    ];
    for (definition, expected) in cases {
        let request = request("", "all", table(definition));
        assert_eq!(refused(PolicyKind::Policy, &request), expected);
    }
    let request = request("", "all", table(&[("dead-letter-exchange", "x".into())]));
    assert!(Policy::check(PolicyKind::Policy, "p", &request).is_ok());
    assert!(refused(PolicyKind::Operator, &request).ends_with("not recognised policy settings"));
}

#[test]
fn patterns_are_linear_and_bounded() {
    let bad = |pattern: &str| refused(PolicyKind::Policy, &request(pattern, "all", max_length(1)));
    assert_eq!(
        bad("^(?!amq).*"),
        "pattern should be regular expression but is invalid: look-around, including look-ahead \
         and look-behind, is not supported"
    );
    assert!(bad("(").starts_with("pattern should be regular expression but is invalid: "));
    assert!(bad("(a{1000}){1000}").contains("invalid"), "it would take much memory");
    assert!(bad(&"a".repeat(PATTERN_MAX + 1)).contains("must not exceed 4096 bytes"));
    let wrong = request("", "exchange", max_length(1));
    assert!(refused(PolicyKind::Policy, &wrong).starts_with("apply-to 'exchange' unrecognised;"));
    let umlaut = policy("p", "^ü.$", 0, max_length(1));
    let mut policies = Policies::default();
    policies.put(PolicyKind::Policy, umlaut);
    assert!(policies.for_queue("üx", false).policy.is_some());
}

fn change() -> impl Strategy<Value = (bool, u8, i64, Option<(u8, i64)>)> {
    (any::<bool>(), 0..6_u8, 0..3_i64, prop::option::of((0..4_u8, 0..50_i64)))
}

proptest! {
    /// After any puts and deletes, what applies is what a search through all of them finds.
    #[test]
    fn changes_end_where_a_fresh_start_would(changes in prop::collection::vec(change(), 0..40)) {
        let patterns = ["", "^q", "q$", "x"];
        let mut policies = Policies::default();
        let mut model: std::collections::BTreeMap<(bool, u8), Policy> = Default::default();
        for (operator, name, priority, put) in changes {
            let kind = if operator { PolicyKind::Operator } else { PolicyKind::Policy };
            let text = format!("p{name}");
            match put {
                Some((pattern, most)) => {
                    let pattern = patterns[usize::from(pattern)];
                    let one = policy(&text, pattern, priority, max_length(most));
                    policies.put(kind, one.clone());
                    model.insert((operator, name), one);
                }
                None => {
                    policies.delete(kind, &text);
                    model.remove(&(operator, name));
                }
            }
        }
        for name in ["q", "xq", "qx", "other"] {
            let best = |operator: bool| {
                let all = model.iter().filter(|((of, _), one)| {
                    let pattern = one.pattern.trim_matches(['^', '$']);
                    let fits = match one.pattern.chars().next() {
                        Some('^') => name.starts_with(pattern),
                        _ if one.pattern.ends_with('$') => name.ends_with(pattern),
                        _ => name.contains(pattern),
                    };
                    *of == operator && fits
                });
                all.map(|(_, one)| one).min_by_key(|one| (-one.priority, one.name.clone()))
            };
            let (policy, operator) = (best(false), best(true));
            let applying = policies.for_queue(name, false);
            prop_assert_eq!(applying.policy, policy);
            prop_assert_eq!(applying.operator, operator);
            let most = |one: Option<&Policy>| one?.definition.get("max-length")?.as_integer();
            let expected = match (most(policy), most(operator)) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            let mut queue = spec(FieldTable::default());
            queue.name = name.into();
            let found = policies.settings(&queue, &Arc::new(queue.settings()));
            prop_assert_eq!(found.max_length, expected.map(|most| most as u64));
        }
    }
}
