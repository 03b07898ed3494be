//! Credentials: users' access keys, and the sessions of roles and users.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base::{AccountId, Arn, Caller, Ids, Region, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{self, EntityKind, KeyKind, TOKEN_PREFIX};
use super::{Iam, home};
use crate::Record;

/// How often at most the sessions are looked through for those that have expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A text that no log may show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Who acts: what GetCallerIdentity says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its ARN: of the account's root, of a user, or `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub arn: Arn,
    /// Its id: the account's number, `AIDA…`, or `AROA…:<session>`.
    pub user_id: String,
}

/// Temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token, which each request must carry beside its signature.
    pub token: Secret,
    /// The account that it acts in.
    pub account: AccountId,
    /// Who acts with it.
    pub principal: Principal,
    /// The role that was assumed; none for a session of a user or of the root.
    pub role: Option<Arn>,
    /// When it was given.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A user's access key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The account of its user.
    pub account: AccountId,
    /// The user's name.
    pub user: String,
    /// The user's ARN and id.
    pub principal: Principal,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a session of a role is asked for with.
#[derive(Clone, Debug)]
pub struct RoleSession {
    /// The role's ARN. The role need not exist: whether it must is for the caller to say.
    pub role: Arn,
    /// What tells this session from the role's others; for a task the task's id. 2 to 64 characters of `\w+=,.@-`.
    pub session_name: String,
    /// How long it lasts.
    pub lifetime: Duration,
}

/// Why credentials are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// The session has ended.
    Expired,
    /// The session token is missing, or not that of the access key.
    Invalid,
}

impl Record for Session {}
impl Record for AccessKey {}

impl Secret {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, to be given to its owner alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Principal {
    /// Makes the root user of an account: whoever comes with credentials that nobody here has given out.
    pub fn root(scope: &Scope) -> Self {
        // The root user's id is that of its account.
        Self { arn: Arn::global("iam", scope, "root"), user_id: scope.account.to_string() }
    }
}

/// Where credentials are kept: an access key id is one of a kind, whatever its account.
fn everywhere() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

/// When the sessions were last looked through, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct LastSweep(AtomicI64);

impl Iam {
    /// Gives credentials of a role, from now on for as long as asked. None if the ARN is not that of a role.
    ///
    /// The session's id has that of the role, or if there is no such role one that follows from its ARN.
    pub fn issue_role_session(&self, ask: RoleSession, now: Timestamp, ids: &Ids) -> Option<Arc<Session>> {
        let account = ask.role.account()?;
        let name = ask.role.resource_of("role")?.rsplit('/').next().filter(|name| !name.is_empty())?;
        let role_id = self
            .role_of(&ask.role)
            .map_or_else(|| EntityKind::Role.id_of_name(account, ask.role.as_str()), |role| role.id.clone());
        let partition = ask.role.as_str().split(':').nth(1).unwrap_or_default();
        let arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{}", ask.session_name);
        let principal = Principal { arn: Arn::parse(&arn)?, user_id: format!("{role_id}:{}", ask.session_name) };
        Some(self.issue(account, principal, Some(ask.role), ask.lifetime, now, ids))
    }

    /// Gives temporary credentials of a user, or of the root.
    pub fn issue_session(
        &self,
        account: AccountId,
        principal: Principal,
        lifetime: Duration,
        now: Timestamp,
        ids: &Ids,
    ) -> Arc<Session> {
        self.issue(account, principal, None, lifetime, now, ids)
    }

    fn issue(
        &self,
        account: AccountId,
        principal: Principal,
        role: Option<Arn>,
        lifetime: Duration,
        now: Timestamp,
        ids: &Ids,
    ) -> Arc<Session> {
        self.sweep_sessions(now);
        let (secret, token) = (Secret(id::secret(ids)), Secret(id::token(ids)));
        let mut session = Session {
            access_key_id: String::new(),
            secret_access_key: secret,
            token,
            account,
            principal,
            role,
            issued_at: now,
            expires_at: now.plus(lifetime),
        };
        loop {
            session.access_key_id = id::access_key(KeyKind::Temporary, account, ids);
            let key = session.access_key_id.clone();
            let (row, is_new) = self.sessions.get_or_insert_with(&everywhere(), &key, || session.clone());
            if is_new {
                return row;
            }
        }
    }

    /// Returns a session that has not ended.
    pub fn session(&self, access_key_id: &str, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.sessions.get(&everywhere(), &access_key_id.to_owned())?;
        (session.expires_at > now).then_some(session)
    }

    /// Makes an access key of a user.
    pub fn make_access_key(&self, scope: &Scope, user: &super::User, now: Timestamp, ids: &Ids) -> Arc<AccessKey> {
        let secret = Secret(id::secret(ids));
        let principal = Principal { arn: user.arn.clone(), user_id: user.id.clone() };
        let user = user.name.clone();
        let mut key = AccessKey { id: String::new(), secret, account: scope.account, user, principal, created_at: now };
        loop {
            key.id = id::access_key(KeyKind::LongTerm, scope.account, ids);
            let id = key.id.clone();
            let (row, is_new) = self.access_keys.get_or_insert_with(&everywhere(), &id, || key.clone());
            if is_new {
                return row;
            }
        }
    }

    /// Walks the access keys of a user, in the order of their ids.
    pub fn access_keys_of(&self, scope: &Scope, user: &str) -> impl Iterator<Item = Arc<AccessKey>> {
        let (account, user) = (scope.account, user.to_owned());
        let keys = self.access_keys.walk(&everywhere(), None).map(|(_, key)| key);
        keys.filter(move |key| key.account == account && key.user.eq_ignore_ascii_case(&user))
    }

    /// Takes an access key of a user away; returns whether it was there.
    pub fn remove_access_key(&self, scope: &Scope, user: &str, id: &str) -> bool {
        let id = id.to_owned();
        let is_users = |key: Arc<AccessKey>| key.account == scope.account && key.user.eq_ignore_ascii_case(user);
        self.access_keys.get(&everywhere(), &id).is_some_and(is_users)
            && self.access_keys.remove(&everywhere(), &id).is_some()
    }

    /// Names the account of credentials that were given out here; none if they were not, and anyone may come.
    ///
    /// A session whose time is over is refused, and so is one that nobody remembers: its token says that it was ours.
    pub fn account_of(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<AccountId>, CredentialError> {
        let key = access_key_id.to_owned();
        if let Some(session) = self.sessions.get(&everywhere(), &key) {
            if token != Some(session.token.expose()) {
                return Err(CredentialError::Invalid);
            }
            if session.expires_at <= now {
                self.sessions.remove(&everywhere(), &key);
                return Err(CredentialError::Expired);
            }
            return Ok(Some(session.account));
        }
        if token.is_some_and(|token| token.starts_with(TOKEN_PREFIX)) {
            return Err(CredentialError::Expired);
        }
        Ok(self.access_keys.get(&everywhere(), &key).map(|key| key.account))
    }

    /// Names who sends a request: the session's principal, the access key's user, or the account's root.
    pub fn principal_of(&self, caller: &Caller) -> Principal {
        let key = caller.access_key_id.clone().unwrap_or_default();
        let session = || self.sessions.get(&everywhere(), &key).map(|session| session.principal.clone());
        let user = || self.access_keys.get(&everywhere(), &key).map(|key| key.principal.clone());
        session().or_else(user).unwrap_or_else(|| Principal::root(&home(&caller.scope)))
    }

    /// Removes the sessions that have ended, if that has not been done just now.
    fn sweep_sessions(&self, now: Timestamp) {
        let last = Timestamp::from_millis(self.last_sweep.0.load(Ordering::Relaxed));
        if now.since(last) < SWEEP_INTERVAL {
            return;
        }
        self.last_sweep.0.store(now.as_millis(), Ordering::Relaxed);
        let sessions = self.sessions.walk(&everywhere(), None);
        for (key, _) in sessions.filter(|(_, session)| session.expires_at <= now) {
            self.sessions.remove(&everywhere(), &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use base::SequentialEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn ids() -> Ids {
        Ids::new(Arc::new(SequentialEntropy::default()))
    }

    fn issue(iam: &Iam, ids: &Ids, lifetime: Duration, now: Timestamp) -> Arc<Session> {
        let role = Arn::parse("arn:aws:iam::123456789012:role/team/web").unwrap();
        let ask = RoleSession { role, session_name: "0123".to_owned(), lifetime };
        iam.issue_role_session(ask, now, ids).unwrap()
    }

    fn account_of(iam: &Iam, session: &Session, now: Timestamp) -> Result<Option<AccountId>, CredentialError> {
        iam.account_of(&session.access_key_id, Some(session.token.expose()), now)
    }

    #[test]
    fn a_session_is_the_role_without_its_path() {
        let iam = Iam::new(None);
        let session = issue(&iam, &ids(), HOUR, NOW);
        assert_eq!(session.principal.arn.as_str(), "arn:aws:sts::123456789012:assumed-role/web/0123");
        assert!(session.principal.user_id.starts_with("AROA"), "{session:?}");
        assert!(session.principal.user_id.ends_with(":0123"), "{session:?}");
        assert_eq!(account_of(&iam, &session, NOW), Ok(AccountId::parse("123456789012")));
        let caller = Caller {
            scope: Scope::new(session.account, Region::default()),
            access_key_id: Some(session.access_key_id.clone()),
            request_id: String::new(),
            host: None,
        };
        assert_eq!(iam.principal_of(&caller), session.principal);
    }

    #[test]
    fn a_session_of_something_else_than_a_role_is_not_given() {
        for arn in ["arn:aws:iam::123456789012:user/web", "arn:aws:iam::123456789012:role/", "arn:aws:iam::x:role/web"]
        {
            let ask = RoleSession { role: Arn::parse(arn).unwrap(), session_name: "s".to_owned(), lifetime: HOUR };
            assert_eq!(Iam::new(None).issue_role_session(ask, NOW, &ids()), None, "{arn}");
        }
    }

    #[test]
    fn an_ended_session_is_refused_also_when_it_has_been_removed() {
        let iam = Iam::new(None);
        let session = issue(&iam, &ids(), HOUR, NOW);
        let almost = NOW.plus(HOUR - Duration::from_millis(1));
        assert!(account_of(&iam, &session, almost).is_ok());
        for _ in 0..2 {
            assert_eq!(account_of(&iam, &session, NOW.plus(HOUR)), Err(CredentialError::Expired));
            assert!(iam.sessions.is_empty());
        }
    }

    #[test]
    fn a_session_without_its_token_is_refused() {
        let iam = Iam::new(None);
        let session = issue(&iam, &ids(), HOUR, NOW);
        for token in [None, Some("x")] {
            assert_eq!(iam.account_of(&session.access_key_id, token, NOW), Err(CredentialError::Invalid));
        }
    }

    #[test]
    fn credentials_of_elsewhere_are_anyones() {
        let iam = Iam::new(None);
        for (key, token) in [("test", None), ("ASIAQNZGKIQY56JQ7WML", Some("IQoJb3JpZ2luX2Vj"))] {
            assert_eq!(iam.account_of(key, token, NOW), Ok(None));
        }
    }

    #[test]
    fn ended_sessions_are_removed_when_others_are_given() {
        let (iam, ids) = (Iam::new(None), ids());
        for second in 0..100 {
            issue(&iam, &ids, Duration::from_secs(900), NOW.plus(Duration::from_secs(second * 60)));
        }
        assert_eq!(iam.sessions.len(), 15);
    }

    #[test]
    fn no_log_shows_a_secret() {
        let session = issue(&Iam::new(None), &ids(), HOUR, NOW);
        let shown = format!("{session:?}");
        assert!(!shown.contains(session.secret_access_key.expose()), "{shown}");
        assert!(!shown.contains(session.token.expose()), "{shown}");
    }
}
