//! Tables and sizes for people.

use crate::cli::table_text;

/// Bytes in MiB, with three digits behind the point below ten.
pub(super) fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10.0 { format!("{mib:.3} MiB") } else { format!("{mib:.1} MiB") }
}

/// A table, two spaces from the margin; numbers stand to the right.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |text: &String| text.starts_with(|c: char| c.is_ascii_digit());
    let all = |column: usize| rows.iter().all(|row| row.get(column).is_none_or(is_number));
    let numbers: Vec<bool> = (0..head.len()).map(all).collect();
    let text = table_text(Some(head), rows, &numbers);
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["a".to_owned(), "5".to_owned()], vec!["long".to_owned(), "12".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "  name   n\n  a      5\n  long  12\n");
        assert_eq!((mib(1 << 19), mib(64 << 20)), ("0.500 MiB".into(), "64.0 MiB".into()));
    }
}
