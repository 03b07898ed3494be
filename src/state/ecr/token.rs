//! The passwords with which clients log in to a registry: what GetAuthorizationToken gives out, and what it is worth.
//!
//! A password says itself whose it is and how long it holds, under a seal that only this state can make: none is kept,
//! however many are asked for. Outwardly it looks like one of AWS's.

use std::sync::{Arc, OnceLock};

use base::{AccountId, Arn, Ids, Region, Scope, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::journal::{Journal, JournalError};
use crate::{Record, Table};

/// The user's name that belongs to every password.
pub const USER: &str = "AWS";
/// The key of the one row that has the secret.
const KEY: &str = "registry";
/// The longest password that is looked at: those made here have some 500 characters.
const LENGTH_MAX: usize = 4096;

/// Makes and checks passwords.
#[derive(Debug)]
pub struct Tokens {
    keys: Table<String, TokenKey>,
}

/// What a password is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// The account and region that it was asked for in.
    pub scope: Scope,
    /// Who asked.
    pub principal: Arn,
    /// Whether it is for the public registry.
    pub is_public: bool,
    /// When it ceases to hold.
    pub expires_at: Timestamp,
}

/// What passwords are sealed with. Random, and the same after a restart.
#[derive(Clone, Serialize, Deserialize)]
struct TokenKey([[u8; 16]; 2]);

/// A password, as AWS lays it out.
#[derive(Serialize, Deserialize)]
struct Envelope {
    payload: String,
    datakey: String,
    version: String,
    r#type: String,
    expiration: i64,
}

impl Record for TokenKey {}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl Tokens {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { keys: Table::new("ecr.token_keys", journal) }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.keys.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.keys.clear();
    }

    /// Makes a password.
    pub fn issue(&self, ids: &Ids, claims: &TokenClaims) -> String {
        let make = || TokenKey([ids.bits().to_be_bytes(), ids.bits().to_be_bytes()]);
        let (key, _) = self.keys.get_or_insert_with(everywhere(), &KEY.to_owned(), make);
        let payload = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let envelope = Envelope {
            datakey: BASE64.encode(key.seal(&payload).finalize().into_bytes()),
            payload: BASE64.encode(payload),
            version: "2".to_owned(),
            r#type: "DATA_KEY".to_owned(),
            expiration: claims.expires_at.as_millis() / 1000,
        };
        BASE64.encode(serde_json::to_vec(&envelope).expect("an envelope is texts and a number"))
    }

    /// Returns what a password is worth: nothing if it was not made here, or no longer holds.
    pub fn verify(&self, password: &str, now: Timestamp) -> Option<TokenClaims> {
        if password.len() > LENGTH_MAX {
            return None;
        }
        let key = self.keys.get(everywhere(), &KEY.to_owned())?;
        let envelope = serde_json::from_slice::<Envelope>(&BASE64.decode(password).ok()?).ok()?;
        let payload = BASE64.decode(envelope.payload).ok()?;
        key.seal(&payload).verify_slice(&BASE64.decode(envelope.datakey).ok()?).ok()?;
        serde_json::from_slice::<TokenClaims>(&payload).ok().filter(|claims| now < claims.expires_at)
    }
}

impl TokenKey {
    fn seal(&self, payload: &[u8]) -> Hmac<Sha256> {
        let key = self.0.concat();
        let mut seal = Hmac::<Sha256>::new_from_slice(&key).expect("a key may have any length");
        seal.update(payload);
        seal
    }
}

/// The scope of the key: it is the same for all registries.
fn everywhere() -> &'static Scope {
    static SCOPE: OnceLock<Scope> = OnceLock::new();
    SCOPE.get_or_init(|| Scope::new(AccountId::DEFAULT, Region::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000_000);

    fn claims() -> TokenClaims {
        let scope = everywhere().clone();
        let principal = Arn::global("iam", &scope, "root");
        TokenClaims { scope, principal, is_public: false, expires_at: LATER }
    }

    #[test]
    fn a_password_is_worth_what_it_was_made_for_until_it_expires() {
        let tokens = Tokens::new(None);
        let password = tokens.issue(&Ids::system(), &claims());
        assert_eq!(tokens.verify(&password, NOW), Some(claims()));
        assert_eq!(tokens.verify(&password, Timestamp::from_millis(1_999_999)), Some(claims()));
        assert_eq!(tokens.verify(&password, LATER), None);
        assert_eq!(Tokens::new(None).verify(&password, NOW), None, "another state has another key");
    }

    #[test]
    fn what_was_made_elsewhere_or_changed_is_worth_nothing() {
        let tokens = Tokens::new(None);
        assert_eq!(tokens.verify("x", NOW), None);
        let password = tokens.issue(&Ids::system(), &claims());
        let mut envelope = serde_json::from_slice::<Envelope>(&BASE64.decode(&password).unwrap()).unwrap();
        let longer = TokenClaims { expires_at: LATER.plus(std::time::Duration::from_secs(1)), ..claims() };
        envelope.payload = BASE64.encode(serde_json::to_vec(&longer).unwrap());
        let forged = BASE64.encode(serde_json::to_vec(&envelope).unwrap());
        assert_eq!(tokens.verify(&forged, NOW), None);
        for wrong in ["", "x", "AAAA", &password[4..], &password[..password.len() - 8], &"A".repeat(LENGTH_MAX + 4)] {
            assert_eq!(tokens.verify(wrong, NOW), None, "{wrong}");
        }
    }
}
