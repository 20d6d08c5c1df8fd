//! DER, as far as a certificate's names and validity need it: definite lengths, tags of one byte.
//!
//! Invariant: every step consumes bytes or fails, and nothing is read beyond the input.

use super::Malformed;

/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// SET.
pub(super) const SET: u8 = 0x31;
/// OBJECT IDENTIFIER.
pub(super) const OBJECT: u8 = 0x06;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// BOOLEAN.
pub(super) const BOOLEAN: u8 = 0x01;

/// Bytes that are read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element's tag and content.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let [tag, first, rest @ ..] = self.0 else { return Err(Malformed) };
        if tag & 0x1F == 0x1F {
            return Err(Malformed);
        }
        let (len, rest) = match first {
            0..=0x7F => (usize::from(*first), rest),
            // A certificate is no longer than 16 MiB.
            0x81..=0x83 => {
                let (digits, rest) =
                    rest.split_at_checked(usize::from(first & 0x7F)).ok_or(Malformed)?;
                (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The content of the next element if it has this tag; else it is left.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() == Some(&tag) { self.expect(tag).map(Some) } else { Ok(None) }
    }
}

/// An object identifier in dotted decimals.
pub(super) fn dotted(object: &[u8]) -> Result<String, Malformed> {
    let mut parts = Vec::new();
    let mut part: u64 = 0;
    for (index, byte) in object.iter().enumerate() {
        part = part.checked_mul(128).ok_or(Malformed)? | u64::from(byte & 0x7F);
        if byte & 0x80 != 0 {
            if index + 1 == object.len() {
                return Err(Malformed);
            }
            continue;
        }
        if parts.is_empty() {
            let first = (part / 40).min(2);
            parts.push(first);
            part -= first * 40;
        }
        parts.push(part);
        part = 0;
    }
    let parts: Vec<String> = parts.iter().map(u64::to_string).collect();
    if parts.is_empty() { Err(Malformed) } else { Ok(parts.join(".")) }
}

/// The text of a string type, or none if `tag` is none of them.
pub(super) fn text(tag: u8, content: &[u8]) -> Result<Option<String>, Malformed> {
    let wide = |scalars: &mut dyn Iterator<Item = u32>| -> Result<String, Malformed> {
        scalars.map(|scalar| char::from_u32(scalar).ok_or(Malformed)).collect()
    };
    Ok(Some(match tag {
        // UTF8String, PrintableString, IA5String.
        0x0C | 0x13 | 0x16 => String::from_utf8(content.to_vec()).map_err(|_| Malformed)?,
        // TeletexString, which everybody takes for Latin-1.
        0x14 => content.iter().map(|byte| char::from(*byte)).collect(),
        // BMPString and UniversalString.
        0x1E if content.len().is_multiple_of(2) => wide(
            &mut content.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])),
        )?,
        0x1C if content.len().is_multiple_of(4) => wide(
            &mut content
                .chunks_exact(4)
                .map(|four| four.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))),
        )?,
        0x1C | 0x1E => return Err(Malformed),
        _ => return Ok(None),
    }))
}

/// A UTCTime or GeneralizedTime of a certificate, to the second and in UTC (RFC 5280, 4.1.2.5), in
/// seconds since 1970; what was before is 0.
pub(super) fn time(tag: u8, content: &[u8]) -> Result<u64, Malformed> {
    let digits = content.strip_suffix(b"Z").ok_or(Malformed)?;
    let (year_digits, century) = match tag {
        0x17 => (2, None),
        0x18 => (4, Some(0)),
        _ => return Err(Malformed),
    };
    if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number =
        |digits: &[u8]| digits.iter().fold(0, |all, digit| all * 10 + u64::from(digit - 48));
    let (year, rest) = digits.split_at(year_digits);
    let year = number(year);
    let year = year + century.unwrap_or(if year < 50 { 2000 } else { 1900 });
    let mut parts = rest.chunks_exact(2).map(number);
    let mut part = |range: std::ops::RangeInclusive<u64>| {
        parts.next().filter(|part| range.contains(part)).ok_or(Malformed)
    };
    let (month, day) = (part(1..=12)?, part(1..=31)?);
    let (hour, minute, second) = (part(0..=23)?, part(0..=59)?, part(0..=60)?);
    // Years that begin in March have the day of leap years as their last one.
    let (from_march, year) =
        if month > 2 { (month - 3, year) } else { (month + 9, year.max(1) - 1) };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1;
    let days = days.saturating_sub(719_468);
    Ok(days * 86_400 + hour * 3_600 + minute * 60 + second)
}
