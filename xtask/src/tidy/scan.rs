//! Parts code from comments, and blanks the contents of strings, so that checks see only code.
//!
//! No parser of Rust: it knows comments, strings, raw strings, characters and lifetimes, which is
//! all that rustfmt-ed code needs for counting braces and finding words.

/// A source in two texts of the same lines and columns.
pub struct Scanned {
    /// The code, with blanks for comments and for the contents of strings and characters.
    pub code: String,
    /// The comments, with blanks for everything else.
    pub comments: String,
}

/// Scans a whole file.
pub fn scan(text: &str) -> Scanned {
    let mut scanner =
        Scanner { rest: text, last: ' ', code: String::new(), comments: String::new() };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    Scanned { code: scanner.code, comments: scanner.comments }
}

/// Where a character goes.
#[derive(Clone, Copy)]
enum Part {
    Code,
    Comment,
    Neither,
}

struct Scanner<'a> {
    rest: &'a str,
    /// The last character of code.
    last: char,
    code: String,
    comments: String,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            self.take(end, Part::Comment);
        } else if rest.starts_with("/*") {
            self.take(block_comment_end(rest), Part::Comment);
        } else if let Some(end) = self.raw_string_end() {
            self.take(end, Part::Neither);
        } else if rest.starts_with('"') {
            self.take(1, Part::Code);
            self.take(string_end(self.rest), Part::Neither);
            self.take(1, Part::Code);
        } else if let Some(end) = character_end(rest) {
            self.take(end, Part::Neither);
        } else {
            self.take(1, Part::Code);
        }
    }

    /// Moves at least `bytes` bytes, up to the next character's start, to one part.
    fn take(&mut self, bytes: usize, part: Part) {
        let mut end = bytes.min(self.rest.len());
        while !self.rest.is_char_boundary(end) {
            end += 1;
        }
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        for character in taken.chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            let (code, comment) = match part {
                Part::Code => (character, blank),
                Part::Comment => (blank, character),
                Part::Neither => (blank, blank),
            };
            self.code.push(code);
            self.comments.push(comment);
            self.last = code;
        }
    }

    /// The end of a raw string that starts here.
    fn raw_string_end(&self) -> Option<usize> {
        if self.last.is_alphanumeric() || self.last == '_' {
            return None;
        }
        let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
            let after = self.rest.strip_prefix(prefix).map(|rest| rest.trim_start_matches('#'));
            after.is_some_and(|after| after.starts_with('"'))
        })?;
        let body = &self.rest[prefix.len()..];
        let hashes = body.len() - body.trim_start_matches('#').len();
        let start = prefix.len() + hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = self.rest[start..].find(&close).map_or(self.rest.len(), |at| start + at);
        Some(end + close.len())
    }
}

/// The length of a block comment, which may hold others.
fn block_comment_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a string's contents, from after its opening quote.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal that starts here; none for a lifetime.
fn character_end(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        // The escaped character itself may be a quote.
        return escape.get(1..)?.find('\'').map(|at| at + 4);
    }
    let character = body.chars().next()?;
    body[character.len_utf8()..].starts_with('\'').then_some(character.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_leave_the_code() {
        let text =
            "let a = \"{ // no\"; // yes {\nlet b = r#\"\"{\"#; /* { /* */ */ let c = '{';\n";
        let scanned = scan(text);
        assert!(!scanned.code.contains('{'), "{}", scanned.code);
        assert!(scanned.comments.contains("// yes {"));
        assert!(!scanned.comments.contains("no"));
        assert_eq!(scanned.code.lines().count(), 2);
        assert_eq!(scanned.code.chars().count(), text.chars().count());
    }

    #[test]
    fn lifetimes_escapes_and_raw_identifiers_are_told_apart() {
        let scanned =
            scan(r#"fn f<'a>(x: &'a str) { '\''; '"'; b'\\'; "\"}"; r#type } /* ü */ 'ü'"#);
        assert_eq!(scanned.code.matches('{').count(), 1);
        assert_eq!(scanned.code.matches('}').count(), 1);
        assert!(scanned.code.contains("r#type"));
    }
}
