//! Terms: `ERROR "not found" -health`, `?ERROR ?WARN`, `%regular expression%`.

use regex_lite::Regex;

use super::scanner::Scanner;
use super::{invalid_character, malformed};
use crate::Result;

/// Words and phrases that an event must have, may have, or must not have. Case counts.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Terms {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut terms = Self::default();
        let mut scanner = Scanner::new(text);
        loop {
            scanner.skip_spaces();
            if scanner.is_done() {
                return Ok(terms);
            }
            let list = if scanner.eat("?") {
                &mut terms.any
            } else if scanner.eat("-") {
                &mut terms.none
            } else {
                &mut terms.all
            };
            list.push(Term::parse(&mut scanner)?);
        }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        // Beside other terms, AWS does not look at those with a question mark.
        let is_any_asked = self.all.is_empty() && self.none.is_empty() && !self.any.is_empty();
        self.all.iter().all(|term| term.is_in(message))
            && !self.none.iter().any(|term| term.is_in(message))
            && (!is_any_asked || self.any.iter().any(|term| term.is_in(message)))
    }
}

impl Term {
    fn parse(scanner: &mut Scanner<'_>) -> Result<Self> {
        match scanner.peek() {
            Some('"') => scanner.quoted('"').map(Self::Text),
            Some('%') => scanner.regex().map(Self::Regex),
            Some(_) => {
                let text = scanner.take_while(|c| c.is_alphanumeric() || c == '_');
                match scanner.peek() {
                    Some(c) if !c.is_whitespace() => Err(invalid_character(c)),
                    _ => Ok(Self::Text(text.to_owned())),
                }
            }
            None => Err(malformed()),
        }
    }

    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refused};

    #[test]
    fn every_plain_term_must_be_there() {
        check("ERROR", &["an ERROR", "[ERROR 400]"], &["error", ""]);
        check("ERROR disk_full", &["disk_full: ERROR"], &["ERROR", "disk_full"]);
    }

    #[test]
    fn a_phrase_stands_in_quotes() {
        check(r#""not found""#, &["x not found"], &["not  found", "found not"]);
        check(r#""a \"b\" \\ c""#, &[r#"a "b" \ c"#], &["a b"]);
        check(r#""level: 7" x"#, &["x level: 7"], &["level: 7"]);
    }

    #[test]
    fn a_minus_excludes() {
        check("ERROR -health", &["ERROR"], &["ERROR health", "x"]);
        check(r#"-"GET /health""#, &["GET /"], &["GET /health"]);
    }

    #[test]
    fn a_question_mark_offers_a_choice_where_it_stands_alone() {
        check("?ERROR ?WARN", &["ERROR", "WARN"], &["INFO"]);
        check("?ERROR ?WARN disk", &["disk"], &["ERROR"]);
        check(r#"?"a b" ?c"#, &["a b", "c"], &["a", "b"]);
    }

    #[test]
    fn a_regular_expression_stands_between_percent_signs() {
        check("%ERR[0-9]+%", &["xERR12"], &["ERR"]);
        check("-%^DEBUG%", &["x DEBUG"], &["DEBUG x"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        refused("a:b", "Invalid character(s) in term ':'");
        refused("(x", "Invalid character(s) in term '('");
        refused(r#"x"y""#, "Invalid character(s) in term '\"'");
        refused("--x", "Invalid character(s) in term '-'");
        refused(r#""open"#, "Invalid filter pattern");
        refused(r#""open\"#, "Invalid filter pattern");
        refused("?", "Invalid filter pattern");
        refused("%open", "Invalid filter pattern");
        refused("%(%", "Invalid filter pattern");
    }
}
