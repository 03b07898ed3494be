//! Signals, by number and by name.

/// A signal that stops a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

/// The numbers and names of Linux's ordinary signals, as x86 and ARM have them.
const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// The first real-time signal that the C library leaves to programs.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

impl Signal {
    /// Asks to end.
    pub const TERM: Self = Self(15);
    /// Ends.
    pub const KILL: Self = Self(9);

    /// Reads what an image or a definition names a signal: `SIGQUIT`, `quit`, `3`, `SIGRTMIN+3`. None if there is no such
    /// signal.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return text.parse().ok().filter(|number| (1..=RTMAX).contains(number)).map(Self);
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let ordinary = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        ordinary.or_else(|| real_time(name)).map(Self)
    }
}

fn real_time(name: &str) -> Option<i32> {
    let number = if let Some(above) = name.strip_prefix("RTMIN") {
        RTMIN + distance(above, '+')?
    } else {
        RTMAX - distance(name.strip_prefix("RTMAX")?, '-')?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn distance(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(sign)?;
    digits.parse().ok().filter(|_| digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_docker_reads_them() {
        let cases = [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            (" QUIT ", Some(3)),
            ("3", Some(3)),
            ("64", Some(64)),
            ("SIGKILL", Some(9)),
            ("SIGCLD", Some(17)),
            ("SIGIOT", Some(6)),
            ("SIGWINCH", Some(28)),
            ("SIGPOLL", Some(29)),
            ("SIGSYS", Some(31)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN+15", Some(49)),
            ("RTMAX", Some(64)),
            ("SIGRTMAX-14", Some(50)),
            ("RTMIN+30", Some(64)),
            ("RTMIN+31", None),
            ("RTMAX-31", None),
            ("RTMIN-1", None),
            ("RTMIN+", None),
            ("RTMIN++1", None),
            ("RTMIN+-1", None),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("3x", None),
            ("", None),
            ("SIG", None),
            ("SIGSIGTERM", None),
            ("SIGFOO", None),
            ("99999999999", None),
        ];
        for (text, number) in cases {
            assert_eq!(Signal::parse(text), number.map(Signal), "{text}");
        }
    }

    #[test]
    fn every_ordinary_number_has_a_name() {
        let numbers = NAMES.iter().map(|(_, number)| *number).collect::<std::collections::BTreeSet<_>>();
        assert!(numbers.into_iter().eq(1..=31));
    }
}
