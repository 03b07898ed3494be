//! What becomes of a simulated container, and the little language that says so.

use std::fmt;
use std::time::Duration;

use crate::{OutputStream, Signal};

/// The environment variable of a container that holds its script.
pub const SCRIPT_VARIABLE: &str = "NEARGATE_SIMULATE";

/// What becomes of a simulated container. The default runs until it is signalled.
///
/// Written as a script, the statements are separated by `;`:
///
/// ```text
/// exit 3                      ends at once with exit code 3
/// exit 0 after 2s             ends two seconds after the start (ms, s, m)
/// exit 0 after 500ms on TERM  ends half a second after that signal, instead of at once with 143
/// ignore TERM                 goes on after that signal
/// oom after 1s                is killed for its memory limit
/// output hello after 1s       writes a line to standard output; `error` writes to standard error
/// exec 1 no route after 3s    from then on, a process that is started in it writes that line and ends with exit code 1
/// exec hang after 5s          from then on, a process that is started in it never ends by itself
/// fail create "no such user"  cannot be made
/// fail start "exec format"    cannot be started
/// ```
///
/// Text may be quoted, with `\"`, `\\` and `\n` inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Why the container cannot be made, if it cannot.
    pub create_failure: Option<String>,
    /// Why its program cannot be executed, if it cannot.
    pub start_failure: Option<String>,
    /// What it writes.
    pub outputs: Vec<Output>,
    /// Ends of its own accord; the earliest counts.
    pub ends: Vec<End>,
    /// What it does at signals; at others it ends at once. The last one for a signal counts.
    pub reactions: Vec<(Signal, Reaction)>,
    /// What becomes of processes that are started in it; the latest one whose time has come counts. Before all of them,
    /// and without any, such a process ends with exit code 0 and writes nothing.
    pub execs: Vec<ExecFate>,
}

/// Something that a container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How long after the start.
    pub after: Duration,
    /// Where to.
    pub stream: OutputStream,
    /// One line, or several with line ends between them.
    pub text: String,
}

/// What becomes of a process that is started in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecFate {
    /// How long after the container's start this begins to hold.
    pub after: Duration,
    /// The exit code that it ends with at once; none if it never ends by itself.
    pub code: Option<i32>,
    /// The line that it writes to standard output before that; empty for none.
    pub text: String,
}

/// An end that a container comes to by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How long after the start.
    pub after: Duration,
    /// The exit code.
    pub code: i32,
    /// Whether it is killed for its memory limit.
    pub is_oom_killed: bool,
}

/// What a container does when it is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Ignore,
    /// Ends by itself.
    Exit {
        /// How long after the signal.
        after: Duration,
        /// The exit code.
        code: i32,
    },
}

/// A script that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SCRIPT_VARIABLE}: {why} in `{statement}`")]
pub struct FateError {
    /// The statement that is wrong, with its white space made even.
    pub statement: String,
    /// What is wrong with it.
    pub why: String,
}

const SIGNALS: [(&str, Signal); 7] = [
    ("HUP", Signal(1)),
    ("INT", Signal(2)),
    ("QUIT", Signal(3)),
    ("KILL", Signal::KILL),
    ("USR1", Signal(10)),
    ("USR2", Signal(12)),
    ("TERM", Signal::TERM),
];

impl Fate {
    /// Reads a script; an empty one is the default fate.
    pub fn parse(script: &str) -> Result<Self, FateError> {
        let tokens = tokens(script).map_err(|why| FateError { statement: script.to_owned(), why })?;
        let mut fate = Self::default();
        for statement in tokens.split(|token| *token == Token::Semicolon).filter(|statement| !statement.is_empty()) {
            fate.add(statement).map_err(|why| FateError { statement: text(statement), why })?;
        }
        Ok(fate)
    }

    fn add(&mut self, statement: &[Token]) -> Result<(), String> {
        let (verb, rest) = statement.split_first().ok_or("nothing")?;
        let (rest, on) = if verb.word() == Some("exit") { option(rest, "on") } else { (rest, None) };
        let (rest, after) = option(rest, "after");
        let after = after.map(duration).transpose()?.unwrap_or_default();
        let on = on.map(signal).transpose()?;
        let is_timed = !after.is_zero();
        match (verb.word(), rest, on) {
            (Some("exit"), [code], None) => self.ends.push(End { after, code: exit_code(code)?, is_oom_killed: false }),
            (Some("exit"), [code], Some(signal)) => {
                self.reactions.push((catchable(signal)?, Reaction::Exit { after, code: exit_code(code)? }));
            }
            (Some("oom"), [], None) => self.ends.push(End { after, code: OOM_EXIT_CODE, is_oom_killed: true }),
            (Some("ignore"), [name], None) if !is_timed => {
                self.reactions.push((catchable(signal(name)?)?, Reaction::Ignore));
            }
            (Some("output"), [_, ..], None) => {
                self.outputs.push(Output { after, stream: OutputStream::Stdout, text: text(rest) });
            }
            (Some("error"), [_, ..], None) => {
                self.outputs.push(Output { after, stream: OutputStream::Stderr, text: text(rest) });
            }
            (Some("fail"), [what, message @ ..], None) if !message.is_empty() && !is_timed => match what.word() {
                Some("create") => self.create_failure = Some(text(message)),
                Some("start") => self.start_failure = Some(text(message)),
                _ => return Err(format!("only `create` and `start` can fail, not `{what}`")),
            },
            (Some("exec"), [code, words @ ..], None) => {
                let code = if code.word() == Some("hang") { None } else { Some(exit_code(code)?) };
                self.execs.push(ExecFate { after, code, text: text(words) });
            }
            (Some("exit" | "oom" | "ignore" | "output" | "error" | "exec" | "fail"), ..) => {
                return Err("too much or too little".to_owned());
            }
            _ => return Err(format!("no such verb as `{verb}`")),
        }
        Ok(())
    }

    /// Returns what becomes of a process that is started in the container so long after its own start.
    pub(super) fn exec(&self, after_start: Duration) -> ExecFate {
        let holding = self.execs.iter().filter(|fate| fate.after <= after_start);
        let latest = holding.max_by_key(|fate| fate.after).cloned();
        latest.unwrap_or(ExecFate { after: Duration::ZERO, code: Some(0), text: String::new() })
    }

    /// Returns what the container does at a signal; none if the signal ends it at once.
    pub(super) fn reaction(&self, signal: Signal) -> Option<Reaction> {
        self.reactions.iter().rev().find(|(known, _)| *known == signal).map(|(_, reaction)| *reaction)
    }
}

/// 128 + SIGKILL: what the kernel's out-of-memory killer leaves.
const OOM_EXIT_CODE: i32 = 137;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Semicolon,
}

impl Token {
    /// Returns the text of a bare word: quoted text is never a keyword.
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Quoted(_) | Self::Semicolon => None,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => f.write_str(text),
            Self::Semicolon => f.write_str(";"),
        }
    }
}

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = script.chars().peekable();
    while let Some(&next) = chars.peek() {
        if next.is_whitespace() {
            chars.next();
        } else if next == ';' {
            chars.next();
            tokens.push(Token::Semicolon);
        } else if next == '"' {
            chars.next();
            tokens.push(Token::Quoted(quoted(&mut chars)?));
        } else {
            let mut word = String::new();
            while let Some(char) = chars.next_if(|char| !char.is_whitespace() && *char != ';') {
                word.push(char);
            }
            tokens.push(Token::Word(word));
        }
    }
    Ok(tokens)
}

/// Reads text up to the closing quotation mark; the opening one has been read.
fn quoted(chars: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('"') => return Ok(text),
            Some('\\') => match chars.next() {
                Some('n') => text.push('\n'),
                Some(char @ ('"' | '\\')) => text.push(char),
                _ => return Err("only \\\", \\\\ and \\n may follow a backslash".to_owned()),
            },
            Some(char) => text.push(char),
            None => return Err("a quotation mark without its fellow".to_owned()),
        }
    }
}

/// Splits `… <keyword> <value>` off the end.
fn option<'t>(tokens: &'t [Token], keyword: &str) -> (&'t [Token], Option<&'t Token>) {
    match tokens {
        [rest @ .., Token::Word(word), value] if word == keyword => (rest, Some(value)),
        _ => (tokens, None),
    }
}

fn text(tokens: &[Token]) -> String {
    tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn exit_code(token: &Token) -> Result<i32, String> {
    let code = token.word().and_then(|word| word.parse::<u8>().ok());
    code.map(i32::from).ok_or_else(|| format!("`{token}` is not an exit code from 0 to 255"))
}

fn duration(token: &Token) -> Result<Duration, String> {
    let word = token.word().unwrap_or_default();
    let (number, unit) = word.split_at(word.find(|char: char| !char.is_ascii_digit()).unwrap_or(word.len()));
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    let millis = number.parse::<u64>().ok().filter(|_| unit_ms > 0).and_then(|number| number.checked_mul(unit_ms));
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{token}` is not a duration such as 500ms, 2s or 1m"))
}

fn signal(token: &Token) -> Result<Signal, String> {
    let word = token.word().unwrap_or_default();
    let name = word.strip_prefix("SIG").unwrap_or(word);
    let known = SIGNALS.iter().find(|(known, _)| *known == name);
    known.map(|(_, signal)| *signal).ok_or_else(|| format!("`{token}` is not a signal such as TERM"))
}

fn catchable(signal: Signal) -> Result<Signal, String> {
    if signal == Signal::KILL { Err("nobody survives KILL".to_owned()) } else { Ok(signal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn end(after: Duration, code: i32) -> Fate {
        Fate { ends: vec![End { after, code, is_oom_killed: false }], ..Fate::default() }
    }

    fn output(after: Duration, text: &str) -> Fate {
        let output = Output { after, stream: OutputStream::Stdout, text: text.to_owned() };
        Fate { outputs: vec![output], ..Fate::default() }
    }

    fn exec(after: Duration, code: Option<i32>, text: &str) -> Fate {
        Fate { execs: vec![ExecFate { after, code, text: text.to_owned() }], ..Fate::default() }
    }

    fn reaction(signal: Signal, reaction: Reaction) -> Fate {
        Fate { reactions: vec![(signal, reaction)], ..Fate::default() }
    }

    #[test]
    fn each_statement_has_its_meaning() {
        let oom = Fate { ends: vec![End { after: SECOND, code: 137, is_oom_killed: true }], ..Fate::default() };
        let create = Fate { create_failure: Some("no; user".to_owned()), ..Fate::default() };
        let start = Fate { start_failure: Some("exec format".to_owned()), ..Fate::default() };
        let cases = [
            ("", Fate::default()),
            (" ; ;", Fate::default()),
            ("exit 3", end(Duration::ZERO, 3)),
            ("exit 0 after 2s", end(2 * SECOND, 0)),
            ("exit 0 after 250ms", end(SECOND / 4, 0)),
            ("exit 255 after 1m", end(60 * SECOND, 255)),
            ("exit 7 after 1s on SIGTERM", reaction(Signal::TERM, Reaction::Exit { after: SECOND, code: 7 })),
            ("ignore TERM", reaction(Signal::TERM, Reaction::Ignore)),
            ("oom after 1s", oom),
            ("output hello", output(Duration::ZERO, "hello")),
            ("output hello   world after 1s", output(SECOND, "hello world")),
            (r#"output "a; \"b\"  after 1s\n\\""#, output(Duration::ZERO, "a; \"b\"  after 1s\n\\")),
            ("exec 1 no route after 3s", exec(3 * SECOND, Some(1), "no route")),
            ("exec hang", exec(Duration::ZERO, None, "")),
            (r#"fail create "no; user""#, create),
            ("fail start exec format", start),
        ];
        for (script, fate) in cases {
            assert_eq!(Fate::parse(script), Ok(fate), "{script}");
        }
    }

    #[test]
    fn several_statements_add_up_and_the_last_word_on_a_signal_counts() {
        let fate = Fate::parse("output a; error b; ignore TERM; exit 1 on TERM").unwrap();
        assert_eq!(fate.outputs.len(), 2);
        assert_eq!(fate.outputs[1].stream, OutputStream::Stderr);
        assert_eq!(fate.reaction(Signal::TERM), Some(Reaction::Exit { after: Duration::ZERO, code: 1 }));
        assert_eq!(fate.reaction(Signal(2)), None);
    }

    #[test]
    fn a_process_in_a_container_fares_as_the_latest_statement_says() {
        let fate = Fate::parse("exec 1 after 2s; exec hang after 5s; exec 3 after 2s").unwrap();
        for (second, code) in [(0, Some(0)), (1, Some(0)), (2, Some(3)), (4, Some(3)), (5, None), (9, None)] {
            assert_eq!(fate.exec(second * SECOND).code, code, "{second}");
        }
    }

    #[test]
    fn a_script_that_cannot_be_understood_is_named() {
        let cases = [
            ("explode", "no such verb as `explode` in `explode`"),
            ("output a; exit x", "`x` is not an exit code from 0 to 255 in `exit x`"),
            ("exit 256", "`256` is not an exit code from 0 to 255 in `exit 256`"),
            ("exit", "too much or too little in `exit`"),
            ("exit 1 2", "too much or too little in `exit 1 2`"),
            ("output", "too much or too little in `output`"),
            ("oom 3", "too much or too little in `oom 3`"),
            ("oom on TERM", "too much or too little in `oom on TERM`"),
            ("exit 0 after 2h", "`2h` is not a duration such as 500ms, 2s or 1m in `exit 0 after 2h`"),
            ("exit 0 after 2", "`2` is not a duration such as 500ms, 2s or 1m in `exit 0 after 2`"),
            ("exec", "too much or too little in `exec`"),
            ("exec on TERM", "`on` is not an exit code from 0 to 255 in `exec on TERM`"),
            ("ignore WINTER", "`WINTER` is not a signal such as TERM in `ignore WINTER`"),
            ("ignore KILL", "nobody survives KILL in `ignore KILL`"),
            ("ignore TERM after 1s", "too much or too little in `ignore TERM after 1s`"),
            ("fail stop x", "only `create` and `start` can fail, not `stop` in `fail stop x`"),
            ("fail create", "too much or too little in `fail create`"),
            ("output \"a", "a quotation mark without its fellow in `output \"a`"),
            (r#"output "\x""#, r#"only \", \\ and \n may follow a backslash in `output "\x"`"#),
        ];
        for (script, message) in cases {
            let error = Fate::parse(script).unwrap_err().to_string();
            assert_eq!(error, format!("NEARGATE_SIMULATE: {message}"), "{script}");
        }
    }
}
