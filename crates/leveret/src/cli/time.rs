//! Times and spans as texts.

/// A time, in milliseconds since 1970, as `2026-01-31 23:59:59Z`.
pub(super) fn show(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March have the leap day at their end; 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// A span in milliseconds, in its two largest units.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(show(0), "1970-01-01 00:00:00Z");
        assert_eq!(show(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(show(1_795_228_149_094), "2026-11-21 02:29:09Z");
        assert_eq!(show(-1), "1969-12-31 23:59:59Z");
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!((span(900), span(61_000)), ("900 ms".into(), "1 min 1 s".into()));
        assert_eq!((span(3_700_000), span(90_000_000)), ("1 h 1 min".into(), "1 d 1 h".into()));
    }
}
