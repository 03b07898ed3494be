//! Runs the steps that the queue says are to run.

use std::any::Any;
use std::collections::HashMap;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Timestamp};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use crate::queue::Phase;
use crate::wakeups::Shared;
use crate::{Key, Reconciler, Sleep, Status, Step, Timer, Wakeups};

/// How long a shutdown waits for the steps that run, by the machine's clock; after that they are abandoned. A step may be
/// abandoned anywhere, as after `kill -9`.
pub const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Collects reconcilers and then runs them.
pub struct Driver {
    wakeups: Wakeups,
    timer: Arc<dyn Timer>,
    clock: Arc<dyn Clock>,
    reconcilers: Vec<Arc<dyn Reconciler>>,
}

impl Driver {
    /// Makes a driver for everything that is woken through `wakeups`. `timer` and `clock` must tell the same time.
    pub fn new(wakeups: Wakeups, timer: Arc<dyn Timer>, clock: Arc<dyn Clock>) -> Self {
        Self { wakeups, timer, clock, reconcilers: Vec::new() }
    }

    /// Adds a reconciler.
    ///
    /// # Panics
    ///
    /// If there is one of that name already: their keys would be mixed up.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "it adds to a list; nobody takes it for arithmetic")]
    pub fn add(mut self, reconciler: Arc<dyn Reconciler>) -> Self {
        let name = reconciler.name();
        assert!(self.reconcilers.iter().all(|known| known.name() != name), "two reconcilers are called {name}");
        self.reconcilers.push(reconciler);
        self
    }

    /// Starts running: first a step for every candidate, then whatever is woken. Wakes sent before now count.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(self) -> DriverHandle {
        let shared = Arc::clone(self.wakeups.shared());
        let handle = DriverHandle { shared: Arc::clone(&shared), clock: Arc::clone(&self.clock) };
        let lanes = self.reconcilers.iter().map(|each| (each.name(), each.steps_max())).collect::<Vec<_>>();
        for reconciler in shared.queue().register(&lanes) {
            tracing::error!(reconciler, "dropped wakes for a reconciler that the driver does not have");
        }
        let running = Running { shared, driver: self, steps: JoinSet::new(), keys: HashMap::new(), sleep: None };
        tokio::spawn(running.run());
        handle
    }
}

/// Watches and ends a running driver. Dropping it changes nothing.
#[derive(Clone)]
pub struct DriverHandle {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl DriverHandle {
    /// Waits until no key is queued or running and no timer is due, by the clock as it stands; timers for later may be
    /// pending. For tests: advance the clock, then wait for rest.
    pub async fn idle(&self) {
        self.wait(|shared, now| shared.queue().is_at_rest(now)).await;
    }

    /// Waits like [`DriverHandle::idle`], but no longer than `bound` by the machine's clock, and returns whether it came
    /// to that.
    pub async fn is_idle_within(&self, bound: Duration) -> bool {
        tokio::time::timeout(bound, self.idle()).await.is_ok()
    }

    /// Returns how each reconciler is doing, sorted by name.
    pub fn statuses(&self) -> Vec<Status> {
        self.shared.queue().statuses()
    }

    /// Starts no more steps, waits for those that run up to [`SHUTDOWN_WAIT_MAX`], and returns when the driver has ended.
    /// May be called again.
    pub async fn shutdown(&self) {
        self.shared.queue().close();
        self.shared.work.notify_one();
        self.wait(|shared, _| shared.queue().phase() == Phase::Ended).await;
    }

    async fn wait(&self, is_reached: impl Fn(&Shared, Timestamp) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.shared.rest.notified());
            // Listening begins before the look, so that a change between look and wait is not missed.
            changed.as_mut().enable();
            if is_reached(&self.shared, self.clock.now()) {
                return;
            }
            changed.await;
        }
    }
}

/// The driver's task.
struct Running {
    shared: Arc<Shared>,
    driver: Driver,
    steps: JoinSet<Step>,
    keys: HashMap<Id, (&'static str, Key)>,
    sleep: Option<(Timestamp, Sleep)>,
}

impl Running {
    async fn run(mut self) {
        loop {
            let is_resync_due = self.shared.queue().fire(self.driver.clock.now());
            if is_resync_due {
                self.resync();
            }
            self.start_steps();
            let Some(due) = self.look_around() else { break };
            self.await_change(due).await;
        }
        self.await_last_steps().await;
    }

    /// Wakes every candidate of every reconciler.
    fn resync(&self) {
        for reconciler in &self.driver.reconcilers {
            let name = reconciler.name();
            match catch_unwind(AssertUnwindSafe(|| reconciler.candidates())) {
                Ok(keys) => {
                    let mut queue = self.shared.queue();
                    for key in keys {
                        queue.wake(name, key);
                    }
                }
                Err(panic) => {
                    tracing::error!(reconciler = name, why = panic_message(&*panic), "listing the candidates panicked");
                }
            }
        }
        self.shared.queue().open();
    }

    fn start_steps(&mut self) {
        for reconciler in &self.driver.reconcilers {
            let name = reconciler.name();
            loop {
                let Some(key) = self.shared.queue().start(name) else { break };
                let span = tracing::info_span!("step", reconciler = name, %key);
                let task = {
                    let (reconciler, key) = (Arc::clone(reconciler), key.clone());
                    async move { reconciler.step(&key).await }
                };
                let id = self.steps.spawn(task.instrument(span)).id();
                self.keys.insert(id, (name, key));
            }
        }
    }

    /// Tells whoever waits for rest, and returns until when to wait; none if the driver is to end.
    fn look_around(&self) -> Option<Option<Timestamp>> {
        let queue = self.shared.queue();
        let (phase, due, is_at_rest) = (queue.phase(), queue.next_due(), queue.is_at_rest(self.driver.clock.now()));
        drop(queue);
        if is_at_rest {
            self.shared.rest.notify_waiters();
        }
        matches!(phase, Phase::Starting | Phase::Running).then_some(due)
    }

    /// Waits for a wake, the end of a step, or the time `due`.
    async fn await_change(&mut self, due: Option<Timestamp>) {
        if self.sleep.as_ref().map(|(at, _)| *at) != due {
            self.sleep = due.map(|at| (at, self.driver.timer.sleep_until(at)));
        }
        let slept = async {
            match &mut self.sleep {
                Some((_, sleep)) => sleep.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.shared.work.notified() => {}
            Some(ended) = self.steps.join_next_with_id() => self.finish(ended),
            () = slept => self.sleep = None,
        }
        while let Some(ended) = self.steps.try_join_next_with_id() {
            self.finish(ended);
        }
    }

    /// Gives the result of an ended step to the queue.
    fn finish(&mut self, ended: Result<(Id, Step), JoinError>) {
        let (id, step) = match ended {
            Ok((id, step)) => (id, step),
            Err(error) => {
                let id = error.id();
                let why = match error.try_into_panic() {
                    Ok(panic) => format!("the step panicked: {}", panic_message(&*panic)),
                    Err(error) => format!("the step was abandoned: {error}"),
                };
                (id, Step::Failed { why })
            }
        };
        let Some((reconciler, key)) = self.keys.remove(&id) else { return };
        if let Step::Failed { why } = &step {
            tracing::warn!(reconciler, %key, why, "step failed");
        }
        self.shared.queue().finish(reconciler, &key, step, self.driver.clock.now());
    }

    async fn await_last_steps(&mut self) {
        let all_ended = async {
            while let Some(ended) = self.steps.join_next_with_id().await {
                self.finish(ended);
            }
        };
        if tokio::time::timeout(SHUTDOWN_WAIT_MAX, all_ended).await.is_err() {
            for (reconciler, key) in self.keys.values() {
                tracing::warn!(reconciler, %key, "abandoned a step that did not end in time for the shutdown");
            }
        }
    }
}

impl Drop for Running {
    /// Says that the driver has ended, also when its runtime went away beneath it.
    fn drop(&mut self) {
        self.shared.queue().end();
        self.shared.rest.notify_waiters();
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use base::{AccountId, ManualClock, Region, Scope, SystemClock};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{ManualTimer, RESYNC_EVERY, SystemTimer};

    const NAME: &str = "tasks";
    const TEST_WAIT_MAX: Duration = Duration::from_secs(20);

    type StepFn = dyn Fn(Key) -> std::pin::Pin<Box<dyn Future<Output = Step> + Send>> + Send + Sync;

    /// A reconciler of one closure, with the candidates that a test wants.
    struct Scripted {
        candidates: Mutex<Vec<Key>>,
        steps_max: usize,
        step: Box<StepFn>,
    }

    impl Scripted {
        fn new<F>(step: impl Fn(Key) -> F + Send + Sync + 'static) -> Self
        where
            F: Future<Output = Step> + Send + 'static,
        {
            Self {
                candidates: Mutex::default(),
                steps_max: crate::STEPS_CONCURRENT_MAX,
                step: Box::new(move |key| Box::pin(step(key))),
            }
        }
    }

    #[async_trait]
    impl Reconciler for Scripted {
        fn name(&self) -> &'static str {
            NAME
        }

        fn candidates(&self) -> Vec<Key> {
            self.candidates.lock().unwrap().clone()
        }

        async fn step(&self, key: &Key) -> Step {
            (self.step)(key.clone()).await
        }

        fn steps_max(&self) -> usize {
            self.steps_max
        }
    }

    /// A driver on a clock that stands still.
    struct Bench {
        clock: Arc<ManualClock>,
        wakeups: Wakeups,
        driver: DriverHandle,
    }

    impl Bench {
        fn start(reconciler: impl Reconciler + 'static) -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
            let wakeups = Wakeups::new();
            let timer = Arc::new(ManualTimer::new(Arc::clone(&clock)));
            let driver = Driver::new(wakeups.clone(), timer, clock.clone()).add(Arc::new(reconciler)).spawn();
            Self { clock, wakeups, driver }
        }

        async fn idle(&self) {
            bounded(self.driver.idle()).await;
        }

        async fn advance(&self, millis: u64) {
            self.clock.advance(Duration::from_millis(millis));
            self.idle().await;
        }

        fn status(&self) -> Status {
            self.driver.statuses().remove(0)
        }
    }

    async fn bounded<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(TEST_WAIT_MAX, what).await.expect("it happens in time")
    }

    fn key(name: &str) -> Key {
        Key::new(Scope::new(AccountId::DEFAULT, Region::default()), name)
    }

    #[tokio::test]
    async fn candidates_get_a_step_at_start_and_at_each_resync() {
        let reconciler = Scripted::new(|_| async { Step::Settled });
        reconciler.candidates.lock().unwrap().extend([key("a"), key("b")]);
        let bench = Bench::start(reconciler);
        bench.idle().await;
        assert_eq!(bench.status().steps, 2);
        bench.clock.advance(RESYNC_EVERY - Duration::from_millis(1));
        bench.idle().await;
        assert_eq!(bench.status().steps, 2);
        bench.advance(1).await;
        assert_eq!(bench.status().steps, 4);
    }

    #[tokio::test]
    async fn a_step_that_does_not_end_is_not_waited_for_longer_than_asked() {
        let bench = Bench::start(Scripted::new(|_| pending()));
        assert!(bench.driver.is_idle_within(TEST_WAIT_MAX).await);
        bench.wakeups.wake(NAME, key("a"));
        assert!(!bench.driver.is_idle_within(Duration::from_millis(10)).await);
        assert_eq!(bench.status().running, 1);
    }

    #[tokio::test]
    async fn a_wake_from_before_the_driver_is_not_lost() {
        let wakeups = Wakeups::new();
        wakeups.wake(NAME, key("early"));
        let reconciler = Arc::new(Scripted::new(|_| async { Step::Settled }));
        let driver = Driver::new(wakeups, Arc::new(SystemTimer), Arc::new(SystemClock)).add(reconciler).spawn();
        bounded(driver.idle()).await;
        assert_eq!(driver.statuses()[0].steps, 1);
    }

    #[tokio::test]
    async fn a_wake_in_the_middle_of_a_step_causes_another() {
        let (entered, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let reconciler = {
            let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
            Scripted::new(move |_| {
                let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
                async move {
                    entered.add_permits(1);
                    go_on.acquire().await.unwrap().forget();
                    Step::Settled
                }
            })
        };
        let bench = Bench::start(reconciler);
        bench.wakeups.wake(NAME, key("a"));
        bounded(entered.acquire()).await.unwrap().forget();
        bench.wakeups.wake(NAME, key("a"));
        bench.wakeups.wake(NAME, key("a"));
        go_on.add_permits(1);
        bounded(entered.acquire()).await.unwrap().forget();
        go_on.add_permits(1);
        bench.idle().await;
        assert_eq!(bench.status().steps, 2, "two wakes in one step are one more step");
    }

    /// Threads raise a level and wake; a step takes the level down. Were one wake lost, a level would stay up.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn under_load_no_wake_is_lost_and_no_key_runs_twice_at_once() {
        const KEYS: usize = 50;
        const STEPS_MAX: usize = 7;
        let names: Arc<Vec<Key>> = Arc::new((0..KEYS).map(|index| key(&index.to_string())).collect());
        let cells: Arc<Vec<(AtomicUsize, AtomicBool)>> = Arc::new((0..KEYS).map(|_| Default::default()).collect());
        let running = Arc::new(AtomicUsize::new(0));
        let mut reconciler = {
            let (cells, running) = (Arc::clone(&cells), Arc::clone(&running));
            Scripted::new(move |key| {
                let (cells, running) = (Arc::clone(&cells), Arc::clone(&running));
                async move {
                    let (level, is_running) = &cells[key.name.parse::<usize>().unwrap()];
                    assert!(!is_running.swap(true, Ordering::SeqCst), "one key twice at once");
                    assert!(running.fetch_add(1, Ordering::SeqCst) < STEPS_MAX, "more steps than allowed");
                    level.store(0, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    is_running.store(false, Ordering::SeqCst);
                    Step::Settled
                }
            })
        };
        reconciler.steps_max = STEPS_MAX;
        let bench = Bench::start(reconciler);
        let threads = [0, 1, 2].map(|_| {
            let (names, cells, wakeups) = (Arc::clone(&names), Arc::clone(&cells), bench.wakeups.clone());
            std::thread::spawn(move || {
                for round in 0..20_000 {
                    cells[round % KEYS].0.fetch_add(1, Ordering::SeqCst);
                    wakeups.wake(NAME, names[round % KEYS].clone());
                }
            })
        });
        for thread in threads {
            bounded(tokio::task::spawn_blocking(|| thread.join())).await.unwrap().unwrap();
        }
        bench.idle().await;
        assert_eq!(bench.status().failures, 0, "{:?}", bench.status().last_failure);
        assert!(cells.iter().all(|(level, _)| level.load(Ordering::SeqCst) == 0));
    }

    #[tokio::test]
    async fn a_step_asks_for_a_time_and_gets_it() {
        let reconciler = {
            let steps = AtomicUsize::new(0);
            Scripted::new(move |_| {
                let is_first = steps.fetch_add(1, Ordering::SeqCst) == 0;
                async move { if is_first { Step::At(Timestamp::from_millis(1_000_500)) } else { Step::Settled } }
            })
        };
        let bench = Bench::start(reconciler);
        bench.wakeups.wake(NAME, key("a"));
        bench.idle().await;
        assert_eq!((bench.status().steps, bench.status().waiting), (1, 1));
        bench.advance(499).await;
        assert_eq!(bench.status().steps, 1);
        bench.advance(1).await;
        assert_eq!((bench.status().steps, bench.status().waiting), (2, 0));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_that_is_retried_and_others_go_on() {
        let steps = AtomicUsize::new(0);
        let bench = Bench::start(Scripted::new(move |key| {
            let is_bad = key.name.as_ref() == "bad" && steps.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                assert!(!is_bad, "all is lost");
                Step::Settled
            }
        }));
        bench.wakeups.wake(NAME, key("bad"));
        bench.wakeups.wake(NAME, key("good"));
        bench.idle().await;
        let status = bench.status();
        assert_eq!((status.steps, status.failures, status.waiting), (2, 1, 1));
        assert_eq!(status.last_failure.unwrap().why, "the step panicked: all is lost");
        bench.advance(100).await;
        assert_eq!((bench.status().steps, bench.status().waiting), (3, 0));
    }

    #[tokio::test]
    async fn a_failure_is_retried_after_a_growing_wait() {
        let bench = Bench::start(Scripted::new(|_| async { Step::Failed { why: "no disk".to_owned() } }));
        bench.wakeups.wake(NAME, key("a"));
        bench.idle().await;
        let mut steps = Vec::new();
        for wait_ms in [99, 1, 199, 1, 399, 1] {
            bench.advance(wait_ms).await;
            steps.push(bench.status().steps);
        }
        assert_eq!(steps, [1, 2, 2, 3, 3, 4]);
        let failure = bench.status().last_failure.unwrap();
        assert_eq!((failure.key, failure.why.as_str()), (key("a"), "no disk"));
    }

    #[tokio::test]
    async fn candidates_that_panic_do_not_end_the_driver() {
        struct Broken;
        #[async_trait]
        impl Reconciler for Broken {
            fn name(&self) -> &'static str {
                NAME
            }
            fn candidates(&self) -> Vec<Key> {
                panic!("no list")
            }
            async fn step(&self, _: &Key) -> Step {
                Step::Settled
            }
        }
        let bench = Bench::start(Broken);
        bench.idle().await;
        bench.wakeups.wake(NAME, key("a"));
        bench.idle().await;
        assert_eq!(bench.status().steps, 1);
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_running_steps_and_starts_no_others() {
        let (entered, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let mut reconciler = {
            let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
            Scripted::new(move |_| {
                let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
                async move {
                    entered.add_permits(1);
                    go_on.acquire().await.unwrap().forget();
                    Step::Again
                }
            })
        };
        reconciler.steps_max = 1;
        let bench = Bench::start(reconciler);
        bench.wakeups.wake(NAME, key("a"));
        bench.wakeups.wake(NAME, key("b"));
        bounded(entered.acquire()).await.unwrap().forget();
        let mut shutdown = std::pin::pin!(bench.driver.shutdown());
        tokio::select! {
            biased;
            () = &mut shutdown => panic!("a step still runs"),
            () = tokio::task::yield_now() => {}
        }
        go_on.add_permits(10);
        bounded(shutdown).await;
        assert_eq!((bench.status().steps, bench.status().running), (1, 0));
        bounded(bench.driver.shutdown()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_abandons_a_step_that_never_ends() {
        let bench = Bench::start(Scripted::new(|_| pending()));
        bench.wakeups.wake(NAME, key("a"));
        tokio::task::yield_now().await;
        bench.driver.shutdown().await;
        assert_eq!(bench.status().running, 0);
    }

    #[tokio::test]
    async fn a_driver_whose_runtime_goes_away_leaves_nobody_waiting() {
        let bench = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { Bench::start(Scripted::new(|_| async { Step::Settled })) })
        })
        .join()
        .unwrap();
        bounded(bench.driver.shutdown()).await;
        bench.idle().await;
    }

    #[test]
    #[should_panic(expected = "two reconcilers are called tasks")]
    fn two_reconcilers_of_one_name_are_refused() {
        let reconciler = || Arc::new(Scripted::new(|_| async { Step::Settled }));
        let driver = Driver::new(Wakeups::new(), Arc::new(SystemTimer), Arc::new(SystemClock));
        drop(driver.add(reconciler()).add(reconciler()));
    }
}
