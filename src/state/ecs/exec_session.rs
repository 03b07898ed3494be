//! The sessions of ECS Exec: in memory alone, as nobody can go on with one after the server has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{ContainerId, Scope, Timestamp};

use crate::iam::Secret;

/// The sessions that a container may have at once: ECS's quota.
pub const EXEC_SESSIONS_PER_CONTAINER_MAX: usize = 1_000;
/// The sessions of all containers together.
const SESSIONS_MAX: usize = 10_000;
/// How long after its opening a session may be connected to.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(60);

/// A session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSession {
    /// `ecs-execute-command-` and 17 hexadecimal digits.
    pub id: String,
    /// What shows that a connection may use it.
    pub token: Secret,
    /// Account and region of the task.
    pub scope: Scope,
    /// The container.
    pub container: ContainerId,
    /// The command as it was sent.
    pub command: String,
    /// What is kept of it.
    pub transcript: Transcript,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// Where the output of a session is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The log group, with the account and region that it is in; the stream has the session's id.
    pub log_group: Option<(Scope, String)>,
    /// The bucket, and the prefix of the key, whose rest is the session's id and `.log`.
    pub bucket: Option<(String, String)>,
}

/// There are as many sessions as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyExecSessions {
    /// How many a container may have.
    pub per_container_max: usize,
}

/// The sessions of ECS Exec.
#[derive(Debug, Default)]
pub struct ExecSessions(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    session: Arc<ExecSession>,
    is_connected: bool,
}

impl Entry {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.is_connected || now < self.session.opened_at.plus(CONNECT_WAIT_MAX)
    }
}

impl ExecSessions {
    /// Opens a session, if there may be another one. Those that nobody has connected to in time are gone.
    pub fn open(&self, session: ExecSession) -> Result<(), TooManyExecSessions> {
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.is_alive(session.opened_at));
        let same = entries.values().filter(|entry| entry.session.container == session.container).count();
        if same >= EXEC_SESSIONS_PER_CONTAINER_MAX || entries.len() >= SESSIONS_MAX {
            return Err(TooManyExecSessions { per_container_max: EXEC_SESSIONS_PER_CONTAINER_MAX });
        }
        entries.insert(session.id.clone(), Entry { session: Arc::new(session), is_connected: false });
        Ok(())
    }

    /// Returns whether a session waits for a connection.
    pub fn is_awaited(&self, id: &str, now: Timestamp) -> bool {
        self.entries().get(id).is_some_and(|entry| !entry.is_connected && entry.is_alive(now))
    }

    /// Connects to a session that waits for it, if the token is the session's. It lasts until [`ExecSessions::close`].
    pub fn connect(&self, id: &str, token: &str, now: Timestamp) -> Option<Arc<ExecSession>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(id).filter(|entry| !entry.is_connected && entry.is_alive(now))?;
        if !is_same(entry.session.token.expose(), token) {
            return None;
        }
        entry.is_connected = true;
        Some(Arc::clone(&entry.session))
    }

    /// Ends a session.
    pub fn close(&self, id: &str) {
        self.entries().remove(id);
    }

    pub(crate) fn clear(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares in a time that does not tell how much is right.
fn is_same(known: &str, given: &str) -> bool {
    known.len() == given.len() && known.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    fn session(id: usize, container: &str, at_s: i64) -> ExecSession {
        ExecSession {
            id: id.to_string(),
            token: Secret::new("token".to_owned()),
            scope: Scope::new(AccountId::DEFAULT, Region::default()),
            container: ContainerId::new(container),
            command: "true".to_owned(),
            transcript: Transcript::default(),
            opened_at: Timestamp::from_millis(at_s * 1000),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_session_is_connected_to_once_and_with_its_token() {
        let sessions = ExecSessions::default();
        sessions.open(session(1, "a", 0)).unwrap();
        assert!(sessions.is_awaited("1", at(1)));
        for wrong in ["", "tokem", "token2"] {
            assert_eq!(sessions.connect("1", wrong, at(1)), None);
        }
        assert!(sessions.connect("1", "token", at(1)).is_some());
        assert_eq!(sessions.connect("1", "token", at(1)), None);
        assert!(!sessions.is_awaited("1", at(1)));
    }

    #[test]
    fn a_session_that_nobody_connects_to_is_gone_after_a_minute() {
        let sessions = ExecSessions::default();
        sessions.open(session(1, "a", 0)).unwrap();
        assert!(!sessions.is_awaited("1", at(60)));
        assert_eq!(sessions.connect("1", "token", at(60)), None);
    }

    #[test]
    fn a_container_has_so_many_sessions_and_no_more_until_one_ends() {
        let sessions = ExecSessions::default();
        for id in 0..EXEC_SESSIONS_PER_CONTAINER_MAX {
            sessions.open(session(id, "a", 0)).unwrap();
            sessions.connect(&id.to_string(), "token", at(0)).unwrap();
        }
        let too_many = TooManyExecSessions { per_container_max: 1_000 };
        assert_eq!(sessions.open(session(1_000, "a", 600)), Err(too_many));
        sessions.open(session(1_001, "b", 600)).unwrap();
        sessions.close("7");
        sessions.open(session(1_000, "a", 600)).unwrap();
    }
}
