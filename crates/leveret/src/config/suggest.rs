//! The nearest known name to one that is not known.

/// The candidate that `name` was probably meant to be, if any is near enough.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(2);
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two names; a dotted name's last part alone counts as one edit away.
fn distance(name: &str, candidate: &str) -> usize {
    let whole = strsim::damerau_levenshtein(name, candidate);
    let last = candidate.rsplit('.').next().unwrap_or(candidate);
    if last == candidate {
        return whole;
    }
    whole.min(strsim::damerau_levenshtein(name, last) + 1)
}

/// `; did you mean …?`, or nothing.
pub fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, candidates) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_key_and_nonsense_finds_none() {
        let known = ["heartbeat", "frame_max", "log.level"];
        assert_eq!(nearest("hearbeat", known.into_iter()), Some("heartbeat"));
        assert_eq!(nearest("level", known.into_iter()), Some("log.level"));
        assert_eq!(nearest("zzzzzzzz", known.into_iter()), None);
    }
}
