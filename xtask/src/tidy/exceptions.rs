//! The exceptions that are allowed, and the ratchet that keeps them few.

use serde::Deserialize;

use super::Finding;

/// One case that may stay as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    check: String,
    path: String,
    #[serde(default)]
    item: String,
    max: Option<usize>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// Parses the file of exceptions.
pub fn parse(text: &str) -> anyhow::Result<Vec<Exception>> {
    Ok(toml::from_str::<File>(text)?.exception)
}

impl Exception {
    fn covers(&self, finding: &Finding) -> bool {
        self.check == finding.check
            && self.path == finding.path
            && self.item == finding.item
            && finding.measure.is_none_or(|measure| self.max.is_some_and(|max| measure <= max))
    }

    /// What is wrong with the exception itself, given the greatest measure it covers.
    fn problem(&self, used: bool, measure: Option<usize>) -> Option<String> {
        let place = format!("exceptions.toml: {} {} {}", self.check, self.path, self.item);
        let place = place.trim_end();
        if self.reason.trim().is_empty() {
            return Some(format!("{place}: has no reason"));
        }
        if !used {
            return Some(format!("{place}: is not needed any more"));
        }
        let (max, measure) = (self.max?, measure?);
        (measure < max - max / 10).then(|| format!("{place}: lower `max` from {max} to {measure}"))
    }
}

/// The findings that no exception covers, and the exceptions that are not needed.
pub fn apply(exceptions: &[Exception], findings: Vec<Finding>) -> Vec<String> {
    let stale = exceptions.iter().filter_map(|exception| {
        let covered: Vec<&Finding> = findings.iter().filter(|f| exception.covers(f)).collect();
        let measure = covered.iter().filter_map(|finding| finding.measure).max();
        exception.problem(!covered.is_empty(), measure)
    });
    let stale: Vec<String> = stale.collect();
    let open = findings.iter().filter(|f| !exceptions.iter().any(|e| e.covers(f)));
    open.map(Finding::to_string).chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(measure: usize) -> Finding {
        Finding {
            check: "function-lines",
            path: "a.rs".to_owned(),
            line: 1,
            item: "f".to_owned(),
            measure: Some(measure),
            text: "too long".to_owned(),
        }
    }

    fn exception(max: usize, reason: &str) -> Vec<Exception> {
        let text = format!(
            "[[exception]]\ncheck = 'function-lines'\npath = 'a.rs'\nitem = 'f'\nmax = {max}\n\
             reason = '{reason}'"
        );
        parse(&text).unwrap()
    }

    #[test]
    fn an_exception_covers_up_to_its_max() {
        assert_eq!(apply(&exception(80, "table"), vec![finding(80)]), Vec::<String>::new());
        let problems = apply(&exception(80, "table"), vec![finding(81)]);
        assert!(problems[0].contains("too long"), "{problems:?}");
    }

    #[test]
    fn an_exception_must_be_needed_tight_and_reasoned() {
        let text = |max, reason, findings| apply(&exception(max, reason), findings).join("\n");
        assert!(text(80, "table", vec![]).contains("not needed"));
        assert!(text(80, "table", vec![finding(61)]).contains("lower `max` from 80 to 61"));
        assert!(text(80, " ", vec![finding(80)]).contains("no reason"));
    }
}
