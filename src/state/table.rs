//! A table: rows by account, region and key.

use std::fmt;
use std::hash::Hash;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use base::Scope;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Record;
use crate::journal::{Journal, JournalError};
use crate::order::{Label, Order, Stretch};

/// How many keys a walk takes out of the order at first: many walks look at one row. Then it takes more each time.
const WALK_CHUNK_MIN: usize = 4;
/// How many keys it takes at most at a time; the order is not locked between two takes.
const WALK_CHUNK_MAX: usize = 128;

/// What names a row within its account and region. Its order is the order of listings.
pub trait Key: Clone + Eq + Ord + Hash + Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static {}

impl<K> Key for K where K: Clone + Eq + Ord + Hash + Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static {}

type Watcher<K> = Box<dyn Fn(&Scope, &K) + Send + Sync>;

/// Rows of one kind, found by key and walked in the order of keys.
///
/// Rows are behind `Arc` and change by copy: a reader keeps what it read. Locks are held only inside the methods, and
/// the closures given to them must be short and must not touch the same table.
pub struct Table<K, V> {
    name: &'static str,
    rows: DashMap<(Scope, K), Arc<V>>,
    order: RwLock<Order<K>>,
    walked: AtomicU64,
    generation: AtomicU64,
    watcher: OnceLock<Watcher<K>>,
    journal: Option<Arc<Journal>>,
}

impl<K: Key, V: Record> Table<K, V> {
    /// Makes an empty table. The name is the one in the journal's file and never changes.
    pub(crate) fn new(name: &'static str, journal: Option<&Arc<Journal>>) -> Self {
        Self {
            name,
            rows: DashMap::new(),
            order: RwLock::default(),
            walked: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            watcher: OnceLock::new(),
            journal: journal.cloned(),
        }
    }

    /// Fills the table from the journal's file.
    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        for (scope, key, value) in journal.rows::<K, V>(self.name)? {
            self.list(&scope, &key, &value);
            self.rows.insert((scope, key), Arc::new(value));
        }
        Ok(())
    }

    /// Has `watcher` called after each change with the row's key. One watcher, set when the parts are wired together.
    pub fn watch(&self, watcher: impl Fn(&Scope, &K) + Send + Sync + 'static) {
        let is_first = self.watcher.set(Box::new(watcher)).is_ok();
        assert!(is_first, "table {} is watched twice", self.name);
    }

    /// Returns a row.
    pub fn get(&self, scope: &Scope, key: &K) -> Option<Arc<V>> {
        self.rows.get(&(scope.clone(), key.clone())).map(|row| Arc::clone(&row))
    }

    /// Puts a row in, replacing one that is there.
    pub fn insert(&self, scope: &Scope, key: &K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        match self.rows.entry((scope.clone(), key.clone())) {
            Entry::Occupied(mut entry) => {
                let before = entry.insert(Arc::clone(&value));
                self.relist(scope, key, before.labels(), value.labels());
                self.record(scope, key, Some(&value));
            }
            Entry::Vacant(entry) => {
                self.list(scope, key, &value);
                let _row = entry.insert(Arc::clone(&value));
                self.record(scope, key, Some(&value));
            }
        }
        self.changed(scope, key);
        value
    }

    /// Returns the row, putting in what `make` returns if there is none. The flag tells whether it was put in.
    pub fn get_or_insert_with(&self, scope: &Scope, key: &K, make: impl FnOnce() -> V) -> (Arc<V>, bool) {
        let value = match self.rows.entry((scope.clone(), key.clone())) {
            Entry::Occupied(entry) => return (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => {
                let value = Arc::new(make());
                self.list(scope, key, &value);
                let _row = entry.insert(Arc::clone(&value));
                self.record(scope, key, Some(&value));
                value
            }
        };
        self.changed(scope, key);
        (value, true)
    }

    /// Changes a row and returns it as it is then; none if there is no such row.
    pub fn update(&self, scope: &Scope, key: &K, change: impl FnOnce(&mut V)) -> Option<Arc<V>> {
        let changed = self.try_update(scope, key, |value| {
            change(value);
            Ok::<(), std::convert::Infallible>(())
        })?;
        let Ok(value) = changed;
        Some(value)
    }

    /// Changes a row if `change` agrees; on its error the row stays as it was. None if there is no such row.
    pub fn try_update<E>(
        &self,
        scope: &Scope,
        key: &K,
        change: impl FnOnce(&mut V) -> Result<(), E>,
    ) -> Option<Result<Arc<V>, E>> {
        let value = {
            let mut row = self.rows.get_mut(&(scope.clone(), key.clone()))?;
            let mut value = V::clone(&row);
            if let Err(refusal) = change(&mut value) {
                return Some(Err(refusal));
            }
            let value = Arc::new(value);
            self.relist(scope, key, row.labels(), value.labels());
            *row = Arc::clone(&value);
            self.record(scope, key, Some(&value));
            value
        };
        self.changed(scope, key);
        Some(Ok(value))
    }

    /// Takes a row out.
    pub fn remove(&self, scope: &Scope, key: &K) -> Option<Arc<V>> {
        self.remove_if(scope, key, |_| true)
    }

    /// Takes a row out if `is_unwanted` says so of the row as it is then.
    pub fn remove_if(&self, scope: &Scope, key: &K, is_unwanted: impl FnOnce(&V) -> bool) -> Option<Arc<V>> {
        let removed = match self.rows.entry((scope.clone(), key.clone())) {
            Entry::Occupied(entry) if is_unwanted(entry.get()) => {
                self.unlist(scope, key, entry.get());
                self.record(scope, key, None);
                entry.remove()
            }
            Entry::Occupied(_) | Entry::Vacant(_) => return None,
        };
        self.changed(scope, key);
        Some(removed)
    }

    /// Walks the rows of a scope in the order of their keys, from the first one after `after` on.
    ///
    /// The walk is no snapshot: it sees rows as they are when it comes to them. Its cost is that of the rows walked.
    pub fn walk<'a>(&'a self, scope: &Scope, after: Option<K>) -> impl Iterator<Item = (K, Arc<V>)> + use<'a, K, V> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.stretch(scope, Stretch { label: None, start, end: Bound::Unbounded, is_backward: false })
    }

    /// Walks the rows of a scope from `from` on, which is itself included.
    pub fn walk_from<'a>(&'a self, scope: &Scope, from: K) -> impl Iterator<Item = (K, Arc<V>)> + use<'a, K, V> {
        let (start, end) = (Bound::Included(from), Bound::Unbounded);
        self.stretch(scope, Stretch { label: None, start, end, is_backward: false })
    }

    /// Walks the rows of a scope that lie between two keys, under a label if one is given. A row that has just changed
    /// may bear the label no more.
    pub fn walk_between<'a>(
        &'a self,
        scope: &Scope,
        label: Option<Label>,
        (start, end): (Bound<K>, Bound<K>),
    ) -> impl Iterator<Item = (K, Arc<V>)> + use<'a, K, V> {
        self.stretch(scope, Stretch { label, start, end, is_backward: false })
    }

    /// Walks the same rows from the last one to the first.
    pub fn walk_back<'a>(
        &'a self,
        scope: &Scope,
        label: Option<Label>,
        (start, end): (Bound<K>, Bound<K>),
    ) -> impl Iterator<Item = (K, Arc<V>)> + use<'a, K, V> {
        self.stretch(scope, Stretch { label, start, end, is_backward: true })
    }

    /// Returns how many keys walks have looked at so far: what listings cost.
    pub fn walked(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    /// Returns the keys of all rows of all accounts and regions: what a controller may have to look at.
    pub fn keys(&self) -> Vec<(Scope, K)> {
        self.order.read().unwrap_or_else(PoisonError::into_inner).all().collect()
    }

    /// Returns the number of rows in all accounts and regions.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns a number that grows with each change of the table.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Removes every row.
    pub fn clear(&self) {
        for (scope, key) in self.keys() {
            self.remove(&scope, &key);
        }
    }

    /// Called with the row locked, so that the journal sees the changes of a row in their order.
    fn record(&self, scope: &Scope, key: &K, row: Option<&Arc<V>>) {
        if let Some(journal) = &self.journal {
            journal.submit(self.name, scope, key, row.map(Arc::clone));
        }
    }

    fn changed(&self, scope: &Scope, key: &K) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(watcher) = self.watcher.get() {
            watcher(scope, key);
        }
    }

    fn stretch(&self, scope: &Scope, stretch: Stretch<K>) -> Walk<'_, K, V> {
        Walk { table: self, scope: scope.clone(), stretch, chunk: WALK_CHUNK_MIN, keys: Vec::new().into_iter() }
    }

    fn list(&self, scope: &Scope, key: &K, value: &V) {
        self.order.write().unwrap_or_else(PoisonError::into_inner).add(scope, key, value.labels());
    }

    /// Called with the row locked, like all that touches the order.
    fn relist(&self, scope: &Scope, key: &K, before: Vec<Label>, after: Vec<Label>) {
        if before != after {
            self.order.write().unwrap_or_else(PoisonError::into_inner).relabel(scope, key, &before, after);
        }
    }

    fn unlist(&self, scope: &Scope, key: &K, value: &V) {
        self.order.write().unwrap_or_else(PoisonError::into_inner).remove(scope, key, &value.labels());
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Walk<'a, K, V> {
    table: &'a Table<K, V>,
    scope: Scope,
    stretch: Stretch<K>,
    chunk: usize,
    keys: std::vec::IntoIter<K>,
}

impl<K: Key, V: Record> Walk<'_, K, V> {
    fn refill(&mut self) {
        let order = self.table.order.read().unwrap_or_else(PoisonError::into_inner);
        let keys = order.take(&self.scope, &mut self.stretch, self.chunk);
        drop(order);
        self.table.walked.fetch_add(keys.len() as u64, Ordering::Relaxed);
        self.chunk = (self.chunk * 4).min(WALK_CHUNK_MAX);
        self.keys = keys.into_iter();
    }
}

impl<K: Key, V: Record> Iterator for Walk<'_, K, V> {
    type Item = (K, Arc<V>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match self.keys.next() {
                Some(key) => key,
                None => {
                    self.refill();
                    self.keys.next()?
                }
            };
            if let Some(value) = self.table.get(&self.scope, &key) {
                return Some((key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base::{AccountId, Region};
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Count(u64);
    impl Record for Count {}

    fn scope(region: &str) -> Scope {
        Scope::new(AccountId::DEFAULT, Region::parse(region).unwrap())
    }

    fn table() -> Table<String, Count> {
        Table::new("counts", None)
    }

    #[test]
    fn a_walk_yields_one_scope_in_the_order_of_keys() {
        let (table, here, there) = (table(), scope("us-east-1"), scope("us-east-2"));
        for n in (0..1_000).rev() {
            table.insert(&here, &format!("{n:04}"), Count(n));
            table.insert(&there, &format!("{n:04}"), Count(0));
        }
        let walked = table.walk(&here, None).map(|(_, count)| count.0).collect::<Vec<_>>();
        assert_eq!(walked, (0..1_000).collect::<Vec<_>>());
        let after = table.walk(&here, Some("0997".to_owned())).map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(after, ["0998", "0999"]);
        assert_eq!(table.walk_from(&here, "0997".to_owned()).count(), 3);
    }

    #[test]
    fn a_walk_survives_removals_between_its_takes() {
        let (table, here) = (table(), scope("us-east-1"));
        for n in 0..500 {
            table.insert(&here, &format!("{n:04}"), Count(n));
        }
        let mut walk = table.walk(&here, None);
        assert_eq!(walk.next().unwrap().1.0, 0);
        for n in 1..400 {
            table.remove(&here, &format!("{n:04}"));
        }
        assert_eq!(walk.next().unwrap().1.0, 400);
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Coloured(String);

    impl Record for Coloured {
        fn labels(&self) -> Vec<Label> {
            vec![Label::new(&["colour", &self.0])]
        }
    }

    #[test]
    fn a_label_finds_its_rows_and_no_others_in_both_directions() {
        let (table, here) = (Table::<u32, Coloured>::new("coloured", None), scope("us-east-1"));
        for n in 0..1_000 {
            table.insert(&here, &n, Coloured(if n % 100 == 0 { "red" } else { "green" }.to_owned()));
        }
        let red = || Some(Label::new(&["colour", "red"]));
        let all = || (Bound::Unbounded, Bound::Unbounded);
        let keys = |walk: &mut dyn Iterator<Item = (u32, Arc<Coloured>)>| walk.map(|(key, _)| key).collect::<Vec<_>>();
        let before = table.walked();
        assert_eq!(keys(&mut table.walk_between(&here, red(), all())), (0..10).map(|n| n * 100).collect::<Vec<_>>());
        assert_eq!(keys(&mut table.walk_back(&here, red(), all())), (0..10).rev().map(|n| n * 100).collect::<Vec<_>>());
        assert_eq!(table.walked() - before, 20);
        let between = (Bound::Excluded(100), Bound::Included(300));
        assert_eq!(keys(&mut table.walk_back(&here, red(), between)), [300, 200]);
        assert_eq!(keys(&mut table.walk_back(&here, None, between)).len(), 200);
        for empty in [(300, 100), (100, 100)] {
            let empty = (Bound::Excluded(empty.0), Bound::Excluded(empty.1));
            assert_eq!(table.walk_between(&here, red(), empty).count(), 0);
        }
        // Labels follow changes, replacements and removals.
        table.update(&here, &100, |row| row.0 = "green".to_owned());
        table.insert(&here, &200, Coloured("green".to_owned()));
        table.remove(&here, &300);
        table.insert(&here, &201, Coloured("red".to_owned()));
        assert_eq!(
            keys(&mut table.walk_between(&here, red(), (Bound::Unbounded, Bound::Included(400)))),
            [0, 201, 400]
        );
    }

    #[test]
    fn a_refused_change_leaves_the_row_as_it_was() {
        let (table, here) = (table(), scope("us-east-1"));
        table.insert(&here, &"a".to_owned(), Count(1));
        let generation = table.generation();
        let refused = table.try_update(&here, &"a".to_owned(), |count| {
            count.0 = 2;
            Err("no")
        });
        assert_eq!(refused.unwrap().unwrap_err(), "no");
        assert_eq!(*table.get(&here, &"a".to_owned()).unwrap(), Count(1));
        assert_eq!(table.generation(), generation);
    }

    #[test]
    fn concurrent_updates_of_a_row_are_all_counted() {
        let (table, here) = (table(), scope("us-east-1"));
        table.insert(&here, &"a".to_owned(), Count(0));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..1_000 {
                        table.update(&here, &"a".to_owned(), |count| count.0 += 1);
                    }
                });
            }
        });
        assert_eq!(table.get(&here, &"a".to_owned()).unwrap().0, 4_000);
    }

    #[test]
    fn the_watcher_hears_of_every_change_and_of_no_refusal() {
        let (table, here) = (table(), scope("us-east-1"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        table.watch(move |_, key: &String| ears.lock().unwrap().push(key.clone()));
        table.get_or_insert_with(&here, &"a".to_owned(), || Count(1));
        table.get_or_insert_with(&here, &"a".to_owned(), || Count(2));
        table.update(&here, &"a".to_owned(), |count| count.0 = 3);
        table.update(&here, &"b".to_owned(), |_| ());
        table.remove(&here, &"a".to_owned());
        table.remove(&here, &"a".to_owned());
        assert_eq!(*heard.lock().unwrap(), ["a", "a", "a"]);
    }
}
