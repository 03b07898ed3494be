//! Patterns over events that are words: `[ip, user, ..., status = 4* || status = 5*, bytes > 1000]`.

use super::comparison::Comparison;
use super::malformed;
use super::scanner::Scanner;
use crate::Result;

/// What the words of an event must be like. What stands in quotes or brackets is one word.
#[derive(Debug)]
pub(crate) struct Words {
    first: Vec<Word>,
    /// What comes after `...`; none without it.
    last: Option<Vec<Word>>,
}

/// The conditions on a word: any of those of which all hold. None at all is a name alone.
#[derive(Debug)]
struct Word(Vec<Vec<Comparison>>);

impl Words {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut scanner = Scanner::new(text);
        scanner.expect("[")?;
        let (mut first, mut last) = (Vec::new(), None::<Vec<Word>>);
        loop {
            if scanner.eat_spaced("...") {
                if last.replace(Vec::new()).is_some() {
                    return Err(malformed());
                }
            } else {
                let word = Word::parse(&mut scanner)?;
                last.as_mut().unwrap_or(&mut first).push(word);
            }
            if !scanner.eat_spaced(",") {
                break;
            }
        }
        scanner.expect("]")?;
        scanner.skip_spaces();
        if scanner.is_done() { Ok(Self { first, last }) } else { Err(malformed()) }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let words = split(message);
        let last = self.last.as_deref().unwrap_or_default();
        let asked = self.first.len() + last.len();
        let has_right_count = if self.last.is_some() { words.len() >= asked } else { words.len() == asked };
        let pairs = |asked: &[Word], words: &[&str]| asked.iter().zip(words).all(|(asked, word)| asked.holds(word));
        has_right_count && pairs(&self.first, &words) && pairs(last, &words[words.len() - last.len()..])
    }
}

impl Word {
    /// Reads `name`, `name = 1`, or `name = 1 || name = 2`; each part must be about the same name.
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self> {
        let name = name(scanner);
        let Some(comparison) = Comparison::parse(scanner)? else {
            return if name.is_empty() { Err(malformed()) } else { Ok(Self(Vec::new())) };
        };
        let mut all = vec![comparison];
        let mut any = Vec::new();
        loop {
            if scanner.eat_spaced("||") {
                any.push(std::mem::take(&mut all));
            } else if !scanner.eat_spaced("&&") {
                any.push(all);
                return Ok(Self(any));
            }
            if self::name(scanner) != name {
                return Err(malformed());
            }
            all.push(Comparison::parse(scanner)?.ok_or_else(malformed)?);
        }
    }

    fn holds(&self, word: &str) -> bool {
        let all = |all: &Vec<Comparison>| all.iter().all(|comparison| comparison.matches_word(word));
        self.0.is_empty() || self.0.iter().any(all)
    }
}

fn name<'a>(scanner: &mut Scanner<'a>) -> &'a str {
    scanner.skip_spaces();
    scanner.take_while(|c| c.is_alphanumeric() || "_-".contains(c))
}

/// Splits an event at its spaces.
fn split(message: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        // What is opened and never closed is a word like any other.
        let inside = close.and_then(|close| rest[1..].split_once(close));
        let (word, tail) = inside.unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refused};
    use super::*;

    const LINE: &str = r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;

    #[test]
    fn quotes_and_brackets_make_one_word() {
        let words = split(LINE);
        assert_eq!(words.len(), 7);
        assert_eq!(words[3..5], ["10/Oct/2000:13:25:15 -0700", "GET /index.html HTTP/1.0"]);
        assert_eq!(split(r#" a "b c"#), ["a", "\"b", "c"]);
        assert_eq!(split("  "), [""; 0]);
    }

    #[test]
    fn words_are_compared_by_place() {
        check("[ip, id, user, time, request, status = 404, size]", &[LINE], &["x", ""]);
        check("[ip, id, user, time, request, status = 4*, size > 1000]", &[LINE], &[]);
        check("[ip, id, user, time, request, status = 200, size]", &[], &[LINE]);
        check("[ip, user]", &["a b"], &["a", "a b c"]);
        check(r#"[level = "E*", rest != 5]"#, &["ERR x", "E 6"], &["ERR 5", "INFO x"]);
    }

    #[test]
    fn dots_stand_for_any_number_of_words() {
        check("[..., status = 404, size]", &[LINE, "404 1"], &["404", "1 404"]);
        check("[ip, ..., size > 1000]", &[LINE, "a 2000"], &["2000", "a b 3"]);
        check("[level = ERROR, ...]", &["ERROR", "ERROR a b"], &["INFO ERROR", ""]);
    }

    #[test]
    fn conditions_on_a_word_are_joined() {
        check("[code = 404 || code = 410]", &["404", "410"], &["200"]);
        check("[size > 1 && size < 5 || size = 9]", &["2", "9"], &["1", "5"]);
        check("[w = %^a+$%]", &["aa"], &["ab"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for pattern in
            ["[", "[]", "[a,]", "[a", "[a] b", "[..., a, ...]", "[a = ]", "[a = 1 || b = 2]", "[a = 1 &&]", "[a < b]"]
        {
            refused(pattern, "Invalid filter pattern");
        }
    }
}
