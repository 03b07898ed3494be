//! The keys of a table in their order, all of them and those under each label.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::Scope;

use crate::Key;

/// What rows are found by besides their keys: some words, such as `RUNNING` and `family` and `web`. A listing that asks
/// for a label costs what it lists, however many rows there are under others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(Box<str>);

impl Label {
    /// Makes a label of its words.
    pub fn new(words: &[&str]) -> Self {
        Self(words.join("\0").into())
    }
}

/// A stretch of keys, from either end.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<K> {
    pub(crate) label: Option<Label>,
    pub(crate) start: Bound<K>,
    pub(crate) end: Bound<K>,
    pub(crate) is_backward: bool,
}

#[derive(Debug)]
pub(crate) struct Order<K> {
    scopes: BTreeMap<Scope, Keys<K>>,
}

#[derive(Debug)]
struct Keys<K> {
    all: BTreeSet<K>,
    labelled: BTreeMap<Label, BTreeSet<K>>,
}

impl<K> Default for Order<K> {
    fn default() -> Self {
        Self { scopes: BTreeMap::new() }
    }
}

impl<K: Key> Order<K> {
    pub(crate) fn add(&mut self, scope: &Scope, key: &K, labels: Vec<Label>) {
        let empty = || Keys { all: BTreeSet::new(), labelled: BTreeMap::new() };
        let keys = self.scopes.entry(scope.clone()).or_insert_with(empty);
        keys.all.insert(key.clone());
        keys.label(key, labels);
    }

    pub(crate) fn remove(&mut self, scope: &Scope, key: &K, labels: &[Label]) {
        let Some(keys) = self.scopes.get_mut(scope) else { return };
        keys.all.remove(key);
        keys.unlabel(key, labels);
        if keys.all.is_empty() {
            self.scopes.remove(scope);
        }
    }

    /// Follows a change of a row.
    pub(crate) fn relabel(&mut self, scope: &Scope, key: &K, before: &[Label], after: Vec<Label>) {
        let Some(keys) = self.scopes.get_mut(scope) else { return };
        keys.unlabel(key, before);
        keys.label(key, after);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Scope, K)> {
        self.scopes.iter().flat_map(|(scope, keys)| keys.all.iter().map(|key| (scope.clone(), key.clone())))
    }

    /// Takes up to `count` keys off the near end of a stretch.
    pub(crate) fn take(&self, scope: &Scope, stretch: &mut Stretch<K>, count: usize) -> Vec<K> {
        let keys = self.scopes.get(scope).and_then(|keys| match &stretch.label {
            None => Some(&keys.all),
            Some(label) => keys.labelled.get(label),
        });
        let Some(keys) = keys.filter(|_| stretch.may_hold_any()) else { return Vec::new() };
        let range = keys.range((stretch.start.as_ref(), stretch.end.as_ref()));
        let taken: Vec<K> = if stretch.is_backward {
            range.rev().take(count).cloned().collect()
        } else {
            range.take(count).cloned().collect()
        };
        if let Some(last) = taken.last() {
            let near_end = if stretch.is_backward { &mut stretch.end } else { &mut stretch.start };
            *near_end = Bound::Excluded(last.clone());
        }
        taken
    }
}

impl<K: Ord> Stretch<K> {
    /// Returns false where the start is not before the end: a set does not take such a range.
    fn may_hold_any(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
            (Bound::Included(start), Bound::Included(end)) => start <= end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                start < end
            }
        }
    }
}

impl<K: Key> Keys<K> {
    fn label(&mut self, key: &K, labels: Vec<Label>) {
        for label in labels {
            self.labelled.entry(label).or_default().insert(key.clone());
        }
    }

    fn unlabel(&mut self, key: &K, labels: &[Label]) {
        for label in labels {
            if let Some(keys) = self.labelled.get_mut(label) {
                keys.remove(key);
                if keys.is_empty() {
                    self.labelled.remove(label);
                }
            }
        }
    }
}
