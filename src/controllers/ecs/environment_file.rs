//! Environment files: `NAME=value` lines from S3, as Fargate reads them. Pure functions.
//!
//! Fargate documents that it treats the file like Docker's `--env-file`: no quoting, no escapes, no trimming of values.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The longest line, in bytes: what AWS's agent can scan.
const LINE_BYTES_MAX: usize = 64 * 1024 - 1;
/// What some editors put at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvironmentFileError {
    /// A line is not UTF-8; the number counts from one.
    #[error("contains invalid utf8 bytes at line {0}")]
    NotUtf8(usize),
    /// A line is longer than what is read.
    #[error("bufio.Scanner: token too long")]
    LineTooLong,
}

/// Reads the variables of one file, in the order of their first mention. A variable that comes twice has its last value.
///
/// Comments, empty lines, lines without `=` and lines without a name say nothing.
pub(crate) fn parse(file: &[u8]) -> Result<Vec<(String, String)>, EnvironmentFileError> {
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let mut variables = Vec::<(String, String)>::new();
    let mut places = HashMap::<&str, usize>::new();
    for (index, line) in file.split(|byte| *byte == b'\n').enumerate() {
        if line.len() > LINE_BYTES_MAX {
            return Err(EnvironmentFileError::LineTooLong);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| EnvironmentFileError::NotUtf8(index + 1))?.trim_start();
        let variable = line.split_once('=').filter(|(name, _)| !name.is_empty() && !name.starts_with('#'));
        let Some((name, value)) = variable else { continue };
        match places.entry(name) {
            Entry::Occupied(place) => value.clone_into(&mut variables[*place.get()].1),
            Entry::Vacant(place) => {
                place.insert(variables.len());
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    Ok(variables)
}

/// Joins the variables of several files: what an earlier file says stands.
pub(crate) fn merge(files: impl IntoIterator<Item = Vec<(String, String)>>) -> Vec<(String, String)> {
    let mut known = HashSet::<String>::new();
    files.into_iter().flatten().filter(|(name, _)| known.insert(name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: impl AsRef<[u8]>, expected: &[(&str, &str)]) {
        let parsed = parse(file.as_ref()).unwrap();
        let parsed = parsed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>();
        assert_eq!(parsed, expected);
    }

    #[test]
    fn a_line_is_a_name_and_a_value() {
        for (file, expected) in [
            ("", &[][..]),
            ("A=1", &[("A", "1")]),
            ("A=1\nB=2\n", &[("A", "1"), ("B", "2")]),
            ("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]),
            ("\n\nA=1\n\n", &[("A", "1")]),
            ("\u{feff}A=1", &[("A", "1")]),
            ("  A=1", &[("A", "1")]),
            ("A=", &[("A", "")]),
            ("URL=a=b=c", &[("URL", "a=b=c")]),
            ("A=1\nB=2\nA=3", &[("A", "3"), ("B", "2")]),
        ] {
            check(file, expected);
        }
    }

    #[test]
    fn quotes_and_spaces_are_parts_of_the_value() {
        check("A=\"x y\"", &[("A", "\"x y\"")]);
        check("A= x ", &[("A", " x ")]);
        check("A='$HOME' # no comment", &[("A", "'$HOME' # no comment")]);
        check("export A=1", &[("export A", "1")]);
        check(r"A=a\nb", &[("A", r"a\nb")]);
    }

    #[test]
    fn comments_and_lines_without_a_variable_say_nothing() {
        check("# A=1\n  # B=2\n#", &[]);
        check("A\n=1\nB", &[]);
    }

    #[test]
    fn a_line_has_a_greatest_length() {
        let line = |length: usize| format!("A={}\nB=2", "x".repeat(length - 2));
        assert_eq!(parse(line(LINE_BYTES_MAX).as_bytes()).unwrap().len(), 2);
        assert_eq!(parse(line(LINE_BYTES_MAX + 1).as_bytes()), Err(EnvironmentFileError::LineTooLong));
    }

    #[test]
    fn a_file_is_utf_8() {
        check("A=\u{e4}\u{1f980}", &[("A", "\u{e4}\u{1f980}")]);
        assert_eq!(parse(b"A=1\nB=\xff"), Err(EnvironmentFileError::NotUtf8(2)));
    }

    #[test]
    fn what_an_earlier_file_says_stands() {
        let files = ["A=1\nB=1", "B=2\nC=2", "A=3\nC=3\nD=3"].map(|file| parse(file.as_bytes()).unwrap());
        let merged = merge(files).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(merged, ["A=1", "B=1", "C=2", "D=3"]);
    }
}
