//! The patterns of models: most are one class of characters, repeated, and need no regular expression.

use std::sync::OnceLock;

use regex_lite::Regex;

/// A pattern of a model, compiled when it is first needed.
#[derive(Debug)]
pub struct Pattern {
    /// The pattern as the model has it; violations quote it.
    pub text: &'static str,
    compiled: OnceLock<Matcher>,
}

#[derive(Debug)]
enum Matcher {
    /// Every character is of the class; an empty value may match or not.
    Class {
        class: Class,
        matches_empty: bool,
    },
    Regex(Regex),
    /// The pattern is beyond our regular expressions: everything matches.
    Anything,
}

impl Pattern {
    /// Makes a pattern.
    pub const fn new(text: &'static str) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// Tells whether the whole of `value` matches. A pattern beyond our regular expressions matches everything.
    pub fn matches(&self, value: &str) -> bool {
        match self.compiled() {
            Matcher::Class { class, matches_empty } => {
                if value.is_empty() {
                    *matches_empty
                } else {
                    value.chars().all(|c| class.has(c))
                }
            }
            Matcher::Regex(regex) => regex.is_match(value),
            Matcher::Anything => true,
        }
    }

    /// Tells whether the pattern can be checked at all.
    pub fn is_supported(&self) -> bool {
        !matches!(self.compiled(), Matcher::Anything)
    }

    fn compiled(&self) -> &Matcher {
        self.compiled.get_or_init(|| {
            if let Some(matcher) = repeated_class(self.text) {
                return matcher;
            }
            // Models write `\u10FFFF`, which is four digits and two letters to some engines and one character to others.
            if self.text.contains(r"\u") {
                return Matcher::Anything;
            }
            match Regex::new(&format!("^(?:{})$", portable(self.text))) {
                Ok(regex) => Matcher::Regex(regex),
                Err(_) => Matcher::Anything,
            }
        })
    }
}

/// Replaces the Unicode classes that models use, which the small regex engine lacks. Outside of ASCII every character
/// counts as a letter: a local emulator need not tell an emoji from a letter.
fn portable(pattern: &str) -> String {
    pattern
        .replace(r"\p{L}", r"A-Za-z\x{80}-\x{10ffff}")
        .replace(r"\p{Z}", " ")
        .replace(r"\p{N}", "0-9")
        .replace(r"\p{M}", "")
}

/// A class of characters; beyond ASCII it has all or none.
#[derive(Debug, Default)]
struct Class {
    ascii: u128,
    has_others: bool,
}

impl Class {
    fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { self.has_others }
    }

    fn add(&mut self, first: char, last: char) {
        for c in first..=last {
            self.ascii |= 1 << u32::from(c);
        }
    }
}

/// Compiles `[…]*` and `[…]+`, which may stand between `^` and `$` or in parentheses; none for any other pattern.
fn repeated_class(pattern: &str) -> Option<Matcher> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let pattern = pattern.strip_suffix('$').unwrap_or(pattern);
    let inner = pattern.strip_prefix('(').and_then(|pattern| pattern.strip_suffix(')'));
    let pattern = inner.unwrap_or(pattern);
    let (pattern, matches_empty) = match pattern.strip_suffix('*') {
        Some(pattern) => (pattern, true),
        None => (pattern.strip_suffix('+')?, false),
    };
    let members = pattern.strip_prefix('[')?.strip_suffix(']')?;
    let (members, is_negated) = match members.strip_prefix('^') {
        Some(members) => (members, true),
        None => (members, false),
    };
    let mut class = members_of(members)?;
    if is_negated {
        class = Class { ascii: !class.ascii, has_others: !class.has_others };
    }
    Some(Matcher::Class { class, matches_empty })
}

/// Reads what stands between the brackets; none for what is not plain ASCII, a range or a known escape.
fn members_of(members: &str) -> Option<Class> {
    let mut class = Class::default();
    let mut rest = members;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        let first = match first {
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    'd' => class.add('0', '9'),
                    'w' => ["09", "AZ", "az", "__"].iter().for_each(|range| {
                        let mut ends = range.chars();
                        if let (Some(first), Some(last)) = (ends.next(), ends.next()) {
                            class.add(first, last);
                        }
                    }),
                    'p' => {
                        let (kind, after) = rest.strip_prefix('{')?.split_once('}')?;
                        rest = after;
                        match kind {
                            "L" => {
                                class.add('A', 'Z');
                                class.add('a', 'z');
                                class.has_others = true;
                            }
                            "Z" => class.add(' ', ' '),
                            "N" => class.add('0', '9'),
                            "M" => {}
                            _ => return None,
                        }
                    }
                    c if c.is_ascii_punctuation() => {
                        class.add(c, c);
                    }
                    _ => return None,
                }
                continue;
            }
            '[' | ']' | '&' | '~' => return None,
            c if c.is_ascii() => c,
            _ => return None,
        };
        let range = rest.strip_prefix('-').and_then(|after| after.chars().next());
        match range {
            Some(last) if last.is_ascii_alphanumeric() && first <= last => {
                class.add(first, last);
                rest = &rest[2..];
            }
            Some(_) => return None,
            None => class.add(first, first),
        }
    }
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &'static str, matching: &[&str], failing: &[&str]) {
        let pattern = Pattern::new(text);
        assert!(pattern.is_supported(), "{text}");
        matching.iter().for_each(|value| assert!(pattern.matches(value), "{text} {value}"));
        failing.iter().for_each(|value| assert!(!pattern.matches(value), "{text} {value}"));
    }

    #[test]
    fn a_pattern_matches_the_whole_value() {
        check("[a-z]+", &["abc"], &["abc1", "", "ä"]);
        check(r"^\d{12}$", &["123456789012"], &["1234567890123", ""]);
        check(r"[\.\-_/#A-Za-z0-9]+", &["/ecs/web-1_a.b#"], &["a b", "a:b", ""]);
        check("[^:*]*", &["", "a/b", "ü"], &["a:b", "*"]);
        check(r"[\w#+=/:,.@-]*", &["", "a_Z9-@", "arn:aws:logs"], &["a b", "ä", "!"]);
        check("a|b", &["a", "b"], &["ab", "c"]);
    }

    #[test]
    fn unicode_classes_are_understood() {
        check(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", &["", "Größe 1/2@x"], &["a*b", "\t"]);
        check(r"x[\p{L}]{2}", &["xaß"], &["x", "xa1"]);
    }

    #[test]
    fn a_pattern_beyond_us_matches_everything() {
        for text in [r"[\u0009-\u10FFFF]+", "(?=a)b", r"[\p{Greek}]+"] {
            let pattern = Pattern::new(text);
            assert!(!pattern.is_supported(), "{text}");
            assert!(pattern.matches("anything"), "{text}");
        }
    }

    #[test]
    fn the_short_way_agrees_with_regular_expressions() {
        for text in ["[a-c]*", r"[\w.-]+", "[^a-y]+", r"^([\d\-\]_]*)$"] {
            let Some(Matcher::Class { class, matches_empty }) = repeated_class(text) else { panic!("{text}") };
            let regex = Regex::new(&format!("^(?:{text})$")).unwrap();
            assert_eq!(regex.is_match(""), matches_empty, "{text}");
            for c in ('\0'..='\u{100}').filter(|c| *c != '\n') {
                assert_eq!(regex.is_match(&c.to_string()), class.has(c), "{text} {c:?}");
            }
        }
    }
}
