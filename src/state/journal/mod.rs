//! The file behind the tables.
//!
//! Tables submit rows; a thread of the journal's own writes them in batches, the newest form of each row once. So no
//! request waits for the disk, and what waits is bounded by the number of rows, among them a page of log events for each
//! container. A server that is killed loses at most the batch that was being gathered; one that ends in order flushes
//! first.

mod file;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use base::Scope;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Deserialize, Serialize};

use crate::record::{MigrationError, Record};
use crate::table::Key;
use file::KernelFile;

/// How much of the file is kept in this process. It is read once, at the start, and the kernel has its pages cached: more
/// than what a batch touches would only be memory twice.
const CACHE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, or is no journal.
    #[error("cannot open the state file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<redb::Error>,
    },
    /// A table cannot be read.
    #[error("cannot read table {table} of the state file")]
    Read {
        /// The table.
        table: &'static str,
        /// The cause.
        #[source]
        source: Box<redb::Error>,
    },
    /// A row is damaged, or of a version that is not known here.
    #[error("cannot understand row {key} of table {table}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// The cause.
        #[source]
        source: MigrationError,
    },
    /// The files beside the state file cannot be looked through.
    #[error("cannot look through the folder {}", folder.display())]
    Files {
        /// Where they are.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A batch could not be written; the changes after it are not kept either.
    #[error("cannot write the state file: {message}")]
    Write {
        /// What the store said.
        message: String,
    },
}

/// A key-value file with one table for each table of the state.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    database: Arc<Database>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    pending: Mutex<Pending>,
    /// Shared by those who submit rows that must go into the file together, exclusive for taking rows out. The writer
    /// goes before those who come after it: it is never held back for ever.
    together: RwLock<()>,
    /// Signalled when there is something to write, and when something was written.
    changed: Condvar,
}

/// Rows by table and key; none stands for one that is gone.
type Rows = HashMap<(&'static str, String), Option<Arc<dyn Erased>>>;

#[derive(Default)]
struct Pending {
    rows: Rows,
    submitted: u64,
    written: u64,
    is_closing: bool,
    failure: Option<String>,
}

/// A record whose type is forgotten: all that is left to do with it is to write it.
trait Erased: Any + Send + Sync {
    fn to_json(&self) -> serde_json::Result<Vec<u8>>;
}

impl<V: Record> Erased for V {
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Row { version: V::VERSION, value: self })
    }
}

#[derive(Serialize, Deserialize)]
struct Row<V> {
    version: u32,
    value: V,
}

impl Journal {
    /// Opens the file, making it if it is missing.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let open = |source: redb::Error| JournalError::Open { path: path.to_owned(), source: Box::new(source) };
        let file = KernelFile::open(path).map_err(|error| open(error.into()))?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES_MAX);
        let database = builder.create_with_backend(file).map_err(|error| open(error.into()))?;
        let database = Arc::new(database);
        let shared =
            Arc::new(Shared { pending: Mutex::default(), together: RwLock::default(), changed: Condvar::new() });
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let (shared, database) = (Arc::clone(&shared), Arc::clone(&database));
                move || write_batches(&shared, &database)
            })
            .map_err(|error| open(redb::Error::Io(error)))?;
        Ok(Self { shared, database, writer: Mutex::new(Some(writer)) })
    }

    /// Reads all rows of a table.
    pub(crate) fn rows<K: Key, V: Record>(&self, table: &'static str) -> Result<Vec<(Scope, K, V)>, JournalError> {
        let read = |source: redb::Error| JournalError::Read { table, source: Box::new(source) };
        let transaction = self.database.begin_read().map_err(|error| read(error.into()))?;
        let rows = match transaction.open_table(definition(table)) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(read(error.into())),
        };
        let mut found = Vec::new();
        for entry in rows.iter().map_err(|error| read(error.into()))? {
            let (key, value) = entry.map_err(|error| read(error.into()))?;
            let row = |source| JournalError::Row { table, key: key.value().to_owned(), source };
            let serde = |source| row(MigrationError { version: 0, source });
            let (scope, name) = serde_json::from_str::<(Scope, K)>(key.value()).map_err(serde)?;
            let Row { version, value } =
                serde_json::from_slice::<Row<serde_json::Value>>(value.value()).map_err(serde)?;
            found.push((scope, name, V::migrate(version, value).map_err(row)?));
        }
        Ok(found)
    }

    /// Has a row written, or removed where `value` is none. Returns at once.
    pub(crate) fn submit<K: Key, V: Record>(&self, table: &'static str, scope: &Scope, key: &K, value: Option<Arc<V>>) {
        let key = serde_json::to_string(&(scope, key)).expect("a key is made of strings and numbers");
        let mut pending = self.shared.lock();
        pending.rows.insert((table, key), value.map(|value| value as Arc<dyn Erased>));
        pending.submitted += 1;
        drop(pending);
        self.shared.changed.notify_all();
    }

    /// Returns how many changes have been submitted so far.
    pub(crate) fn submitted(&self) -> u64 {
        self.shared.lock().submitted
    }

    /// Returns whether the first `changes` are in the file; also once nothing is written any more, so that nobody waits
    /// for ever.
    pub(crate) fn has_written(&self, changes: u64) -> bool {
        let pending = self.shared.lock();
        pending.written >= changes || pending.failure.is_some()
    }

    /// Holds the writer back until the returned guard is dropped: what is submitted meanwhile goes into the file
    /// together, or not at all. Who holds it must neither hold it again nor wait for the writer.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.together.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything submitted so far is in the file.
    pub(crate) fn flush(&self) -> Result<(), JournalError> {
        let mut pending = self.shared.lock();
        let until = pending.submitted;
        while pending.written < until && pending.failure.is_none() {
            pending = self.shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        match &pending.failure {
            Some(message) => Err(JournalError::Write { message: message.clone() }),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.changed.notify_all();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn definition(table: &'static str) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table)
}

fn write_batches(shared: &Shared, database: &Database) {
    while let Some((rows, until)) = take_batch(shared) {
        let outcome = catch_unwind(AssertUnwindSafe(|| write_batch(database, rows)));
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            // Whoever waits for the file must hear of it.
            Err(_) => Some("a bug in the store of the file".to_owned()),
        };
        let mut pending = shared.lock();
        pending.written = until;
        if let Some(error) = failure {
            tracing::error!(error, "the state is no longer kept");
            pending.failure = Some(error);
        }
        drop(pending);
        shared.changed.notify_all();
    }
}

/// Waits for rows and takes them out, with the number of changes that they bring the file to. None if there will be no
/// more.
fn take_batch(shared: &Shared) -> Option<(Rows, u64)> {
    let mut pending = shared.lock();
    while pending.rows.is_empty() {
        if pending.is_closing {
            return None;
        }
        pending = shared.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
    }
    // Those who hold the writer back submit: they must not find the rows locked.
    drop(pending);
    let _alone = shared.together.write().unwrap_or_else(PoisonError::into_inner);
    let mut pending = shared.lock();
    Some((std::mem::take(&mut pending.rows), pending.submitted))
}

fn write_batch(database: &Database, rows: Rows) -> Result<(), Box<dyn std::error::Error>> {
    let transaction = database.begin_write()?;
    for ((table, key), value) in rows {
        let mut table = transaction.open_table(definition(table))?;
        match value {
            Some(value) => table.insert(key.as_str(), value.to_json()?.as_slice()).map(drop)?,
            None => table.remove(key.as_str()).map(drop)?,
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use base::AccountId;

    use super::*;
    use crate::Table;

    const HOLDS_MAX: usize = 20_000;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Name(String);
    impl Record for Name {}

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Renamed {
        name: String,
    }
    impl Record for Renamed {
        const VERSION: u32 = 2;

        fn migrate(version: u32, value: serde_json::Value) -> Result<Self, MigrationError> {
            let name = serde_json::from_value(value).map_err(|source| MigrationError { version, source })?;
            Ok(Self { name })
        }
    }

    #[test]
    fn rows_come_back_after_a_restart_in_a_later_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let scope = Scope::new(AccountId::DEFAULT, base::Region::default());
        {
            let journal = Arc::new(Journal::open(&path).unwrap());
            let table = Table::<String, Name>::new("names", Some(&journal));
            table.insert(&scope, &"a".to_owned(), Name("first".to_owned()));
            table.insert(&scope, &"b".to_owned(), Name("gone".to_owned()));
            table.update(&scope, &"a".to_owned(), |name| name.0 = "second".to_owned());
            table.remove(&scope, &"b".to_owned());
            journal.flush().unwrap();
        }
        let journal = Journal::open(&path).unwrap();
        let rows = journal.rows::<String, Renamed>("names").unwrap();
        assert_eq!(rows, [(scope, "a".to_owned(), Renamed { name: "second".to_owned() })]);
        assert!(journal.rows::<String, Name>("others").unwrap().is_empty());
    }

    #[test]
    fn what_has_been_flushed_is_written_and_what_has_not_been_submitted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&folder.path().join("state.redb")).unwrap());
        let scope = Scope::new(AccountId::DEFAULT, base::Region::default());
        let table = Table::<String, Name>::new("names", Some(&journal));
        table.insert(&scope, &"a".to_owned(), Name("first".to_owned()));
        let changes = journal.submitted();
        journal.flush().unwrap();
        assert!(journal.has_written(changes));
        assert!(!journal.has_written(changes + 1));
    }

    #[test]
    fn those_who_hold_the_writer_back_one_after_the_other_do_not_hold_it_back_for_ever() {
        const HOLDERS: usize = 4;
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::open(&folder.path().join("state.redb")).unwrap());
        let scope = Scope::new(AccountId::DEFAULT, base::Region::default());
        let table = Table::<String, Name>::new("names", Some(&journal));
        let (is_flushed, holds) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for holder in 0..HOLDERS {
                let (journal, table, scope, is_flushed, holds) = (&journal, &table, &scope, &is_flushed, &holds);
                threads.spawn(move || {
                    while !is_flushed.load(Ordering::Relaxed) && holds.fetch_add(1, Ordering::Relaxed) < HOLDS_MAX {
                        let _held = journal.hold();
                        for n in 0..100 {
                            table.insert(scope, &format!("{holder} {n}"), Name("again".to_owned()));
                        }
                    }
                });
            }
            while table.is_empty() {
                std::thread::yield_now();
            }
            journal.flush().unwrap();
            is_flushed.store(true, Ordering::Relaxed);
        });
        assert!(holds.load(Ordering::Relaxed) < HOLDS_MAX, "the file was written when nobody held it back any more");
    }

    #[test]
    fn only_its_owner_can_read_the_file_even_if_others_could_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        drop(Journal::open(&path).unwrap());
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(Journal::open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_journal_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        std::fs::write(&path, "not a journal").unwrap();
        let error = Journal::open(&path).unwrap_err().to_string();
        assert!(error.contains("state.redb"), "{error}");
    }
}
