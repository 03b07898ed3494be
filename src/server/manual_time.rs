//! Time that passes only when somebody says so: `neargate serve --clock manual`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, ManualClock, Timestamp};
use controllers::Running;
use node::simulated::SimulatedNode;
use tokio::sync::Mutex;

/// How long, by the machine's clock, the controllers may take to come to rest before time passes on.
const REST_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long, by the machine's clock, one request may let time pass.
const PASSING_MAX: Duration = Duration::from_secs(60);
/// How long the controllers must have been at rest: what goes on beside their steps wakes them again when it is done.
const QUIET: Duration = Duration::from_millis(1);
/// The file in the data directory that says how late it is, so that time goes on where a killed server has left it.
const CLOCK_FILE: &str = "clock";

/// Moves a manual clock, and with it the simulated node.
pub struct ManualTime {
    clock: Arc<ManualClock>,
    node: Arc<SimulatedNode>,
    /// Where it is kept how late it is.
    file: Option<PathBuf>,
    /// Held by whoever lets time pass: two at once would each find the other's time.
    passing: Mutex<()>,
}

/// Why time does not pass, or not as far as was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimeError {
    /// That time is over.
    #[error("{} is in the past: it is {}", to.to_rfc3339(), now.to_rfc3339())]
    Past { to: Timestamp, now: Timestamp },
    /// Somebody works on without end.
    #[error("it is {}: the controllers did not come to rest in {REST_WAIT_MAX:?}", now.to_rfc3339())]
    Restless { now: Timestamp },
    /// There is more to do than one request may last.
    #[error("it is {} after {PASSING_MAX:?}; ask again for the rest", now.to_rfc3339())]
    Late { now: Timestamp },
    /// It cannot be kept how late it is.
    #[error("cannot write {}: {source}", path.display())]
    Unkept { path: PathBuf, source: io::Error },
}

impl ManualTime {
    /// Moves `clock` and `node`, whose clock it is.
    pub fn new(clock: Arc<ManualClock>, node: Arc<SimulatedNode>) -> Self {
        Self { clock, node, file: None, passing: Mutex::default() }
    }

    /// Keeps in a data directory how late it is.
    #[must_use]
    pub(crate) fn kept_in(self, data_dir: &Path) -> Self {
        Self { file: Some(data_dir.join(CLOCK_FILE)), ..self }
    }

    /// Returns the time at which an earlier server with that data directory was.
    pub(crate) fn left_in(data_dir: &Path) -> Option<Timestamp> {
        let text = std::fs::read_to_string(data_dir.join(CLOCK_FILE)).ok()?;
        Timestamp::from_rfc3339(text.trim())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the next time at which somebody does something.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.clock.next_wait().into_iter().chain(self.node.next_due()).min()
    }

    /// Lets `by` pass.
    pub(crate) async fn pass(&self, by: Duration, controllers: &Running) -> Result<(), TimeError> {
        let _passing = self.passing.lock().await;
        self.pass_to(self.now().plus(by), controllers).await
    }

    /// Lets time pass until `to`.
    pub(crate) async fn pass_until(&self, to: Timestamp, controllers: &Running) -> Result<(), TimeError> {
        let _passing = self.passing.lock().await;
        let now = self.now();
        if to < now {
            return Err(TimeError::Past { to, now });
        }
        self.pass_to(to, controllers).await
    }

    /// Goes from one time that somebody waits for to the next, so that everything happens in its order: who waits ten
    /// minutes and then five more is not late for the second.
    async fn pass_to(&self, to: Timestamp, controllers: &Running) -> Result<(), TimeError> {
        let passing = async {
            loop {
                self.rest(controllers).await?;
                let now = self.now();
                if now == to {
                    return Ok(());
                }
                // Nobody can be waiting for a time that is over, but a clock that stood still would never get there.
                let next = self.next().map_or(to, |next| next.clamp(now.plus(Duration::from_millis(1)), to));
                self.keep(next)?;
                self.clock.advance_to(next);
                self.node.fire_due();
            }
        };
        let passed = tokio::time::timeout(PASSING_MAX, passing).await;
        passed.unwrap_or_else(|_| Err(TimeError::Late { now: self.now() }))
    }

    /// Waits until nobody has anything to do before time passes.
    async fn rest(&self, controllers: &Running) -> Result<(), TimeError> {
        let resting = async {
            loop {
                controllers.rest().await;
                let before = controllers.steps();
                tokio::time::sleep(QUIET).await;
                if controllers.steps() == before {
                    return;
                }
            }
        };
        let rested = tokio::time::timeout(REST_WAIT_MAX, resting).await;
        rested.map_err(|_| TimeError::Restless { now: self.now() })
    }

    /// Writes how late it will be, before it is: a time that was told is never told again.
    fn keep(&self, now: Timestamp) -> Result<(), TimeError> {
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |source| TimeError::Unkept { path: path.clone(), source };
        let new = path.with_extension("new");
        std::fs::write(&new, now.to_rfc3339()).map_err(failed)?;
        std::fs::rename(&new, path).map_err(failed)
    }
}
