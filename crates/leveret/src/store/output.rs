//! Tables and sizes for people.

use std::fmt::Write;

/// Bytes in MiB, with three digits behind the point below ten.
pub(super) fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10.0 { format!("{mib:.3} MiB") } else { format!("{mib:.1} MiB") }
}

/// A table whose columns are as wide as they must be; numbers stand to the right.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let mut text = String::new();
    let mut line = |cells: &[String]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let right = rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell)));
            let _ = match right {
                true => write!(line, "  {cell:>width$}"),
                false => write!(line, "  {cell:<width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&head.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
    text
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
