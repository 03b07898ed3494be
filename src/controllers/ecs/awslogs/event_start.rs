//! Which lines begin an event: regular expressions, and forms of date and time that stand for one. Pure functions.

use regex::bytes::{Regex, RegexBuilder};
use state::ecs::EventStart;

/// The largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles what a definition says. Fails with the reason if that is no regular expression.
    pub(crate) fn new(start: &EventStart) -> Result<Self, String> {
        let text = match start {
            EventStart::Pattern(text) => text.clone(),
            EventStart::DatetimeFormat(format) => of_format(format),
        };
        // Classes as `\d` mean ASCII, as they do in the language of the driver.
        let compiled = RegexBuilder::new(&text).unicode(false).size_limit(PATTERN_BYTES_MAX).build();
        compiled.map(Self).map_err(|error| error.to_string())
    }

    /// Says whether a line begins an event.
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }
}

/// Translates a form of strftime(3). What is no directive is regular expression already, as in the driver: brackets of the
/// line are written `\[`.
fn of_format(format: &str) -> String {
    let mut pattern = String::with_capacity(format.len() * 4);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            pattern.push(character);
            continue;
        }
        match characters.next() {
            Some(directive) => match of_directive(directive) {
                Some(text) => pattern.push_str(text),
                None => pattern.extend(['%', directive]),
            },
            None => pattern.push('%'),
        }
    }
    pattern
}

/// Returns what a directive stands for: those that Docker documents for this option.
fn of_directive(directive: char) -> Option<&'static str> {
    Some(match directive {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
        'w' => "[0-6]",
        'd' => "(?:0[1-9]|[12][0-9]|3[01])",
        'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'm' => "(?:0[1-9]|1[0-2])",
        'Y' => "[0-9]{4}",
        'y' => "[0-9]{2}",
        'H' => "(?:[01][0-9]|2[0-3])",
        'I' => "(?:0[0-9]|1[0-2])",
        'p' => "[AP]M",
        'M' | 'S' => "[0-5][0-9]",
        // (Milliseconds with their point; Docker's own addition.)
        'L' => r"\.[0-9]{3}",
        'f' => "[0-9]{6}",
        'z' => "[+-][0-9]{4}",
        'Z' => "[A-Z]{1,4}T",
        'j' => "(?:[0-2][0-9][0-9]|3[0-5][0-9]|36[0-6])",
        '%' => "%",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_matches_lines_with_such_a_date() {
        let cases = [
            ("%Y-%m-%d", "2026-11-21 04:00:00 INFO", true),
            ("%Y-%m-%d", "  at 2026-11-21", true),
            ("%Y-%m-%d", "2026-13-21", false),
            ("%Y-%m-%d", "2026-11-32", false),
            ("^%Y-%m-%d", " 2026-11-21", false),
            (r"\[%b %d, %Y %H:%M:%S\]", "[May 01, 2017 19:00:01] A message was logged", true),
            (r"\[%b %d, %Y %H:%M:%S\]", "May 01, 2017 19:00:01 A message was logged", false),
            ("%d/%b/%Y:%H:%M:%S %z", "127.0.0.1 - [21/Nov/2026:23:59:59 +0000] GET", true),
            ("%d/%b/%Y:%H:%M:%S %z", "127.0.0.1 - [21/Nov/2026:24:00:00 +0000] GET", false),
            ("%A, %d %B %y", "Wednesday, 05 August 26", true),
            ("%a %I:%M %p", "Sat 07:15 PM", true),
            ("%a %I:%M %p", "Sat 07:15 XM", false),
            ("%H:%M:%S%L", "10:11:12.123", true),
            ("%H:%M:%S%L", "10:11:12,123", false),
            ("%H:%M:%S.%f %Z", "10:11:12.123456 CEST", true),
            ("%j", "366", true),
            ("%j", "367", false),
            ("%w", "7", false),
            ("100%%", "100% done", true),
            ("%Q", "%Q", true),
            ("50%", "50% done", true),
        ];
        for (format, line, is_match) in cases {
            let pattern = Pattern::new(&EventStart::DatetimeFormat(format.to_owned())).unwrap();
            assert_eq!(pattern.is_match(line.as_bytes()), is_match, "{format} in {line}");
        }
    }

    #[test]
    fn a_pattern_matches_anywhere_in_a_line_of_any_bytes() {
        let cases: [(&str, &[u8], bool); 7] = [
            ("^INFO", b"INFO a", true),
            ("^INFO", b"x INFO", false),
            ("INFO|WARN", b"x WARN", true),
            (r"^\d{3}", b"123", true),
            ("(?i)^error", b"ERROR", true),
            ("^\\S", b"\xff\xfe", true),
            ("é", "caf\u{e9}".as_bytes(), true),
        ];
        for (text, line, is_match) in cases {
            let pattern = Pattern::new(&EventStart::Pattern(text.to_owned())).unwrap();
            assert_eq!(pattern.is_match(line), is_match, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        for text in ["(", "[z-a]", "a{2,1}", "(?:a{1000}){1000}"] {
            assert!(Pattern::new(&EventStart::Pattern(text.to_owned())).is_err(), "{text}");
        }
    }
}
