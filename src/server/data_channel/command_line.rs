//! A command as one text, and as a program with its arguments.

/// Why a text is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandLineError {
    /// A quotation has no end.
    #[error("EOF found when expecting closing quote")]
    Quote,
    /// The last character is the one that takes the meaning of the next.
    #[error("EOF found after escape character")]
    Escape,
}

/// Splits a command as AWS's agent splits it in containers: by white space outside of quotation marks, with `\` before
/// characters that mean themselves, and comments after `#`. No shell has a part in it: nothing is expanded.
pub(crate) fn split(text: &str) -> Result<Vec<String>, CommandLineError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                chars.by_ref().find(|after| *after == '\n');
            }
            '\'' => single_quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(CommandLineError::Escape)?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), CommandLineError> {
    for next in chars {
        if next == '\'' {
            return Ok(());
        }
        word.push(next);
    }
    Err(CommandLineError::Quote)
}

fn double_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), CommandLineError> {
    loop {
        match chars.next().ok_or(CommandLineError::Quote)? {
            '"' => return Ok(()),
            '\\' => word.push(chars.next().ok_or(CommandLineError::Escape)?),
            plain => word.push(plain),
        }
    }
}

/// Joins a program and its arguments to a text that [`split`] splits into the same.
pub(crate) fn join(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_by_awss_agent() {
        for (text, expected) in [
            ("/bin/sh", vec!["/bin/sh"]),
            ("  a   b\tc\n", vec!["a", "b", "c"]),
            ("sh -c 'echo hi; exit 3'", vec!["sh", "-c", "echo hi; exit 3"]),
            (r#"sh -c "echo \"$HOME\" it's""#, vec!["sh", "-c", "echo \"$HOME\" it's"]),
            (r"a\ b c''d ''", vec!["a b", "cd", ""]),
            ("a # b\nc #", vec!["a", "c"]),
            ("a#b", vec!["a#b"]),
            ("", vec![]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        assert_eq!(split("a 'b"), Err(CommandLineError::Quote));
        assert_eq!(split("a \"b"), Err(CommandLineError::Quote));
        assert_eq!(split("a \\"), Err(CommandLineError::Escape));
    }

    #[test]
    fn what_is_joined_is_split_into_the_same() {
        for words in [vec!["sh", "-c", "echo 'a' \"b\" \\ $c # d\n"], vec!["", "#", "\\", "ä b"], vec!["/bin/true"]] {
            let words = words.into_iter().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(split(&join(&words)).unwrap(), words);
        }
    }
}
