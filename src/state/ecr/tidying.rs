//! When it is time to look for what nobody wants any more: files that no row names, uploads that were left.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use base::Timestamp;

use super::Ecr;
use super::layers::LOOK_EVERY;

/// How long after a look it is looked again whether the journal has what files wait for.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Who is told that there is something to tidy up.
#[derive(Default)]
pub(super) struct Watcher(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Watcher {
    /// Tells that there is something to tidy up, now or later.
    pub(super) fn wake(&self) {
        if let Some(watcher) = self.0.get() {
            watcher();
        }
    }
}

impl Ecr {
    /// Has `watcher` called whenever there may be something to [tidy up](Ecr::tidy_up). It must return at once.
    ///
    /// # Panics
    ///
    /// If there is a watcher already.
    pub fn watch_for_tidying(&self, watcher: impl Fn() + Send + Sync + 'static) {
        assert!(self.watcher.0.set(Box::new(watcher)).is_ok(), "the files of registries have a watcher already");
    }

    /// Removes the files that no row has named for long enough, and now and then what nobody wants any more. Blocks on the
    /// disk. Returns when it is to be done again; never, if there is nothing that could be left.
    pub fn tidy_up(&self, now: Timestamp) -> Option<Timestamp> {
        let mut files = self.change();
        self.expire_if_due(&mut files, now);
        if !files.discarded.is_empty() {
            return Some(now.plus(LOOK_AGAIN_AFTER));
        }
        let is_empty = self.uploads.is_empty() && self.layers.is_empty();
        files.expired_at.filter(|_| !is_empty).map(|at| at.plus(LOOK_EVERY))
    }
}
