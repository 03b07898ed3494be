//! Work for containers, and for others, that goes on beside the steps: whoever keeps it waiting holds no step up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::ContainerId;
use tokio::task::AbortHandle;

/// What is under way, at most one errand a container (or whatever else it is for), and what came of it.
pub(crate) struct Errands<T, K = ContainerId> {
    known: Known<T, K>,
}

type Known<T, K> = Arc<Mutex<HashMap<K, Errand<T>>>>;

/// An errand.
pub(super) enum Errand<T> {
    /// It is under way.
    UnderWay(AbortHandle),
    /// That came of it.
    Over(T),
}

impl<T, K> Default for Errands<T, K> {
    fn default() -> Self {
        Self { known: Arc::default() }
    }
}

impl<T: Send + 'static, K: Clone + Eq + Hash + Send + 'static> Errands<T, K> {
    /// Begins the errand of a container that has none; `tell` is called when it is over.
    pub(crate) fn begin(
        &self,
        container: &K,
        work: impl Future<Output = T> + Send + 'static,
        tell: impl FnOnce() + Send + 'static,
    ) {
        let (all, container) = (Arc::clone(&self.known), container.clone());
        // Locked over both: one that ends at once must find itself under way.
        let mut known = lock(&self.known);
        let work = tokio::spawn(work);
        known.insert(container.clone(), Errand::UnderWay(work.abort_handle()));
        drop(known);
        tokio::spawn(async move {
            let outcome = work.await;
            let mut known = lock(&all);
            // Nobody waits for one that was forgotten meanwhile.
            if matches!(known.get(&container), Some(Errand::UnderWay(_))) {
                match outcome {
                    Ok(outcome) => known.insert(container, Errand::Over(outcome)),
                    // It is begun again.
                    Err(_) => known.remove(&container),
                };
            }
            drop(known);
            tell();
        });
    }

    /// Returns whether the errand of a container is under way.
    pub(crate) fn is_under_way(&self, container: &K) -> bool {
        matches!(lock(&self.known).get(container), Some(Errand::UnderWay(_)))
    }

    /// Takes what came of the errand of a container, if it is over.
    pub(crate) fn take(&self, container: &K) -> Option<T> {
        let mut known = lock(&self.known);
        match known.remove(container)? {
            Errand::Over(outcome) => Some(outcome),
            under_way @ Errand::UnderWay(_) => {
                known.insert(container.clone(), under_way);
                None
            }
        }
    }

    /// Returns what came of the errand of a container, if it is over.
    pub(crate) fn seen(&self, container: &K) -> Option<T>
    where
        T: Clone,
    {
        match lock(&self.known).get(container)? {
            Errand::Over(outcome) => Some(outcome.clone()),
            Errand::UnderWay(_) => None,
        }
    }

    /// Forgets the errand of a container.
    pub(crate) fn forget(&self, container: &K) {
        if let Some(Errand::UnderWay(work)) = lock(&self.known).remove(container) {
            work.abort();
        }
    }

    /// Forgets the errands of containers that are not left.
    pub(crate) fn retain(&self, is_left: impl Fn(&K) -> bool) {
        lock(&self.known).retain(|container, errand| {
            let is_left = is_left(container);
            if let Errand::UnderWay(work) = errand
                && !is_left
            {
                work.abort();
            }
            is_left
        });
    }
}

impl<T, K> Drop for Errands<T, K> {
    fn drop(&mut self) {
        for errand in lock(&self.known).values() {
            if let Errand::UnderWay(work) = errand {
                work.abort();
            }
        }
    }
}

fn lock<T, K>(known: &Mutex<HashMap<K, Errand<T>>>) -> MutexGuard<'_, HashMap<K, Errand<T>>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use base::Ids;
    use tokio::sync::oneshot;

    use super::*;

    fn container() -> ContainerId {
        let ids = Ids::system();
        ids.container(&ids.task())
    }

    /// Begins an errand, and returns what hears of its end.
    fn begin(
        errands: &Errands<u32>,
        container: &ContainerId,
        work: impl Future<Output = u32> + Send + 'static,
    ) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        errands.begin(container, work, || _ = tell.send(()));
        told
    }

    #[tokio::test]
    async fn an_errand_is_under_way_and_then_over_once() {
        let (errands, container) = (Errands::default(), container());
        let (end, ended) = oneshot::channel();
        let told = begin(&errands, &container, async { ended.await.unwrap() });
        assert!(errands.is_under_way(&container) && errands.take(&container).is_none());
        assert!(errands.is_under_way(&container), "a look takes nothing away");
        end.send(7).unwrap();
        told.await.unwrap();
        assert!(!errands.is_under_way(&container));
        assert_eq!([errands.take(&container), errands.take(&container)], [Some(7), None]);
    }

    #[tokio::test]
    async fn an_errand_that_fails_inside_may_be_begun_again() {
        let (errands, container) = (Errands::default(), container());
        begin(&errands, &container, async { panic!("inside") }).await.unwrap();
        assert!(!errands.is_under_way(&container) && errands.take(&container).is_none());
        begin(&errands, &container, async { 8 }).await.unwrap();
        assert_eq!(errands.take(&container), Some(8));
    }

    #[tokio::test]
    async fn an_errand_of_a_container_that_is_gone_is_given_up() {
        let (errands, container) = (Errands::default(), container());
        let told = begin(&errands, &container, std::future::pending());
        errands.retain(|_| false);
        told.await.unwrap();
        assert!(errands.take(&container).is_none());
    }
}
