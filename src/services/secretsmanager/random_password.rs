//! Random passwords.

use api::secretsmanager as api;
use base::Ids;
use state::Cx;

use crate::{Result, invalid};

/// The length of a password, unless the request says.
const LENGTH: usize = 32;
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const SPACE: &str = " ";

/// Makes a random password, with at least one character of each kind unless the request says otherwise.
pub(crate) async fn get_random_password(
    cx: &Cx,
    input: api::GetRandomPasswordRequest,
) -> Result<api::GetRandomPasswordResponse> {
    let length = input.password_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(LENGTH);
    let excluded = input.exclude_characters.unwrap_or_default();
    let is_set = |switch: Option<bool>| switch.unwrap_or(false);
    let kinds = [
        (LOWERCASE, !is_set(input.exclude_lowercase)),
        (UPPERCASE, !is_set(input.exclude_uppercase)),
        (DIGITS, !is_set(input.exclude_numbers)),
        (PUNCTUATION, !is_set(input.exclude_punctuation)),
        (SPACE, is_set(input.include_space)),
    ];
    let kinds = kinds.into_iter().filter(|(_, is_included)| *is_included);
    let kinds = kinds.map(|(kind, _)| kind.chars().filter(|letter| !excluded.contains(*letter)).collect::<Vec<_>>());
    let kinds = kinds.collect::<Vec<_>>();
    let requires_each = input.require_each_included_type.unwrap_or(true);
    // Texts unverified.
    if kinds.iter().all(Vec::is_empty) || (requires_each && kinds.iter().any(Vec::is_empty)) {
        return Err(invalid("The exclusions leave no characters of a type that the password must include."));
    }
    if requires_each && length < kinds.len() {
        return Err(invalid("Password length is too short based on the required types."));
    }
    Ok(api::GetRandomPasswordResponse { random_password: Some(password(&cx.ids, &kinds, length, requires_each)) })
}

fn password(ids: &Ids, kinds: &[Vec<char>], length: usize, requires_each: bool) -> String {
    let all = kinds.concat();
    let required = if requires_each { kinds } else { &[] };
    let mut letters = required.iter().map(|kind| pick(ids, kind)).collect::<Vec<_>>();
    letters.extend((letters.len()..length).map(|_| pick(ids, &all)));
    for last in (1..letters.len()).rev() {
        letters.swap(last, below(ids, last + 1));
    }
    letters.into_iter().collect()
}

fn pick(ids: &Ids, letters: &[char]) -> char {
    letters[below(ids, letters.len())]
}

/// Draws a number below `end`. What 128 bits leave uneven is beyond notice.
fn below(ids: &Ids, end: usize) -> usize {
    let end = u128::try_from(end).unwrap_or(1);
    usize::try_from(ids.bits() % end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_a_character_of_each_kind() {
        let kinds = [LOWERCASE, UPPERCASE, DIGITS, PUNCTUATION].map(|kind| kind.chars().collect::<Vec<_>>());
        for length in [4, 32, 4096] {
            let password = password(&Ids::system(), &kinds, length, true);
            assert_eq!(password.chars().count(), length);
            for kind in &kinds {
                assert!(password.contains(&kind[..]), "{password}");
            }
        }
    }

    #[test]
    fn passwords_differ() {
        let kinds = [LOWERCASE.chars().collect::<Vec<_>>()];
        let ids = Ids::system();
        assert_ne!(password(&ids, &kinds, 32, true), password(&ids, &kinds, 32, true));
    }
}
