//! The forms of IAM's identifiers and credentials.

use base::{AccountId, Ids};

const BASE_32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE_64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How many digits follow the prefix of an access key id: `AKIA` and 16 more.
const ACCESS_KEY_DIGITS: u32 = 16;
/// How many digits follow the prefix of an entity's id: `AROA` and 17 more.
const ENTITY_DIGITS: u32 = 17;
/// The bits that an account number takes in an identifier.
const ACCOUNT_BITS: u32 = 40;
/// How many characters a secret access key has.
const SECRET_LENGTH: usize = 40;
/// How many random characters follow the prefix of a session token.
const TOKEN_LENGTH: usize = 96;

/// How the session tokens of this server begin, so that one whose session is gone is known to have been one.
pub(super) const TOKEN_PREFIX: &str = "NeargateSession//";

/// What an access key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A user's, for good: `AKIA…`.
    LongTerm,
    /// A session's: `ASIA…`.
    Temporary,
}

/// What has an id of its own in IAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// A role: `AROA…`.
    Role,
    /// A user: `AIDA…`.
    User,
    /// A managed policy: `ANPA…`.
    Policy,
    /// An instance profile: `AIPA…`.
    InstanceProfile,
}

impl EntityKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Role => "AROA",
            Self::User => "AIDA",
            Self::Policy => "ANPA",
            Self::InstanceProfile => "AIPA",
        }
    }

    /// Makes the id of a new entity.
    pub fn id(self, account: AccountId, ids: &Ids) -> String {
        with_account(self.prefix(), account, ENTITY_DIGITS, ids.bits())
    }

    /// Makes the id of an entity that nobody has made; it follows from its name.
    pub fn id_of_name(self, account: AccountId, name: &str) -> String {
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let sum = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
        with_account(self.prefix(), account, ENTITY_DIGITS, u128::from(sum))
    }
}

pub(super) fn access_key(kind: KeyKind, account: AccountId, ids: &Ids) -> String {
    let prefix = match kind {
        KeyKind::LongTerm => "AKIA",
        KeyKind::Temporary => "ASIA",
    };
    with_account(prefix, account, ACCESS_KEY_DIGITS, ids.bits())
}

/// Reads the account number out of an access key id, where it stands in AWS's and in ours.
pub fn account_in(access_key_id: &str) -> Option<AccountId> {
    let digits = access_key_id.strip_prefix("AKIA").or_else(|| access_key_id.strip_prefix("ASIA"))?;
    if u32::try_from(digits.len()) != Ok(ACCESS_KEY_DIGITS) {
        return None;
    }
    let value = digits.bytes().try_fold(0_u128, |value, digit| {
        let digit = BASE_32.iter().position(|known| *known == digit)?;
        Some(value << 5 | u128::try_from(digit).ok()?)
    })?;
    let account = (value >> (5 * ACCESS_KEY_DIGITS - 1 - ACCOUNT_BITS)) & ((1 << ACCOUNT_BITS) - 1);
    AccountId::parse(&format!("{account:012}"))
}

pub(super) fn secret(ids: &Ids) -> String {
    letters(SECRET_LENGTH, ids)
}

pub(super) fn token(ids: &Ids) -> String {
    format!("{TOKEN_PREFIX}{}", letters(TOKEN_LENGTH, ids))
}

/// Makes an identifier the way AWS does since 2019: a bit that is set, the account number, then what is random.
fn with_account(prefix: &str, account: AccountId, digits: u32, random: u128) -> String {
    let account = account.as_str().parse::<u128>().expect("an account id is twelve digits");
    let random_bits = 5 * digits - 1 - ACCOUNT_BITS;
    let value = (1 << (5 * digits - 1)) | (account << random_bits) | (random & ((1 << random_bits) - 1));
    let digit = |place: u32| BASE_32[usize::try_from((value >> (5 * place)) & 0x1f).unwrap_or_default()];
    let digits = (0..digits).rev().map(|place| char::from(digit(place)));
    prefix.chars().chain(digits).collect()
}

/// Draws `length` characters of the base 64 alphabet.
fn letters(length: usize, ids: &Ids) -> String {
    /// As many characters as 128 bits are good for.
    const PER_DRAW: u32 = 20;
    let draws = std::iter::repeat_with(|| ids.bits());
    let letter = |bits: u128, place: u32| BASE_64[usize::try_from((bits >> (6 * place)) & 0x3f).unwrap_or_default()];
    draws.flat_map(|bits| (0..PER_DRAW).rev().map(move |place| char::from(letter(bits, place)))).take(length).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::SequentialEntropy;

    use super::*;

    #[test]
    fn identifiers_have_the_forms_of_aws_and_name_the_account() {
        let ids = Ids::new(Arc::new(SequentialEntropy::default()));
        let account = AccountId::parse("123456789012").unwrap();
        let role = EntityKind::Role.id(account, &ids);
        assert_eq!((role.len(), &role[..4]), (21, "AROA"));
        for (kind, prefix) in [(KeyKind::LongTerm, "AKIA"), (KeyKind::Temporary, "ASIA")] {
            let key = access_key(kind, account, &ids);
            assert_eq!((key.len(), &key[..4]), (20, prefix));
            assert_eq!(account_in(&key), Some(account));
        }
        // A key of AWS whose account is public.
        assert_eq!(account_in("ASIAQNZGKIQY56JQ7WML"), AccountId::parse("029608264753"));
        assert_eq!((secret(&ids).len(), token(&ids).len()), (40, TOKEN_PREFIX.len() + TOKEN_LENGTH));
    }

    #[test]
    fn what_is_no_access_key_names_no_account() {
        for text in ["", "test", "AKIA", "ASIAQNZGKIQY56JQ7WM", "ASIAQNZGKIQY56JQ7WM1", "AROAQNZGKIQY56JQ7WML", "AKIAé"]
        {
            assert_eq!(account_in(text), None, "{text}");
        }
    }

    #[test]
    fn ids_of_names_are_the_same_each_time_and_differ_by_name() {
        let id = |name| EntityKind::Role.id_of_name(AccountId::DEFAULT, name);
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
    }
}
