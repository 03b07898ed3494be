//! What a check has found.

use serde_json::{Value, json};

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Nothing.
    Ok,
    /// Tasks run, with something less.
    Warn,
    /// Real containers cannot run.
    Missing,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    found: String,
    advice: String,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, found: found.into(), advice: String::new() }
    }

    /// Something is less than it should be; `advice` says what follows or what to do.
    pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warn, found: found.into(), advice: advice.into() }
    }

    /// Something is missing without which no container runs.
    pub(super) fn missing(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, severity: Severity::Missing, found: found.into(), advice: advice.into() }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "check": self.check,
            "status": self.severity.word(),
            "found": self.found,
            "advice": (!self.advice.is_empty()).then_some(&self.advice),
        })
    }

    pub(super) fn line(&self, has_colors: bool) -> String {
        let word = format!("{:7}", self.severity.word());
        let word = if has_colors { format!("\x1b[{}m{word}\x1b[0m", self.severity.color()) } else { word };
        let advice = if self.advice.is_empty() { String::new() } else { format!(" — {}", self.advice) };
        format!("{word}  {}: {}{advice}\n", self.check, self.found)
    }
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
        }
    }

    /// The terminal's number for it: green, yellow, red.
    fn color(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warn => 33,
            Self::Missing => 31,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_found_and_what_follows() {
        assert_eq!(Finding::ok("root", "yes").line(false), "ok       root: yes\n");
        let warning = Finding::warn("disk", "1 MiB free", "images need more");
        assert_eq!(warning.line(false), "warn     disk: 1 MiB free — images need more\n");
        assert_eq!(warning.line(true), "\x1b[33mwarn   \x1b[0m  disk: 1 MiB free — images need more\n");
    }

    #[test]
    fn json_has_the_same_and_null_for_no_advice() {
        let missing = Finding::missing("root", "no", "use sudo").json();
        assert_eq!(missing, json!({"check": "root", "status": "missing", "found": "no", "advice": "use sudo"}));
        assert_eq!(Finding::ok("root", "yes").json()["advice"], Value::Null);
    }
}
