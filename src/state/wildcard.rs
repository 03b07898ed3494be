//! Patterns in which an asterisk stands for anything, as tags of images, log filters and others have them.

/// Tells whether a text matches a wildcard, in which `*` stands for any characters, also none.
pub fn matches_wildcard(wildcard: &str, text: &str) -> bool {
    let mut parts = wildcard.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The leftmost place for each part leaves the most for those that follow.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (wildcard, text, expected) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("*", "", true),
            ("*", "v1", true),
            ("v*", "v1", true),
            ("v*", "1v", false),
            ("*-dev", "1-dev", true),
            ("*-dev", "1-dev-2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("aa*aa", "aaa", false),
            ("*a*a*", "a", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches_wildcard(wildcard, text), expected, "{wildcard} {text}");
        }
    }
}
