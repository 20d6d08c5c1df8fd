//! Moments as text, in the form of RFC 3339 and in UTC.

/// Days from 1 March of a leap year's cycle to the end of each month.
const MONTH_ENDS: [u64; 12] = [31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337, 366];

/// Year, month and day of the day that is so many behind 1 January 1970.
fn civil(days: u64) -> (u64, usize, u64) {
    // Years begin in March here, so that the day that leap years have is their last one.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = MONTH_ENDS.partition_point(|end| *end <= day).min(11);
    let before = month.checked_sub(1).map_or(0, |month| MONTH_ENDS[month]);
    let is_next = month >= 10;
    let number = if is_next { month - 9 } else { month + 3 };
    (era * 400 + year + u64::from(is_next), number, day - before + 1)
}

/// A moment in milliseconds since 1970.
pub(crate) fn text(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}+00:00")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn moments_are_told_as_the_calendar_has_them() {
        for (ms, wanted) in [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (951_782_399_999, "2000-02-28T23:59:59.999+00:00"),
            (951_782_400_000, "2000-02-29T00:00:00.000+00:00"),
            (951_868_800_000, "2000-03-01T00:00:00.000+00:00"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000+00:00"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001+00:00"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000+00:00"),
        ] {
            assert_eq!(text(ms), wanted);
        }
    }
}
