//! Controllers make it so: they read what is wanted and drive the node towards it.
//!
//! They know the state and the node's traits, and nothing of requests: no protocol, no API type, nobody who asked.
//! Each decision is a pure function with a table of tests; a reconciler's step carries decisions out, one at a time,
//! and reads everything anew before the next. There is no separate recovery: a restart runs the same steps.

mod codedeploy;
mod ecr;
mod ecs;
mod events;
mod host_folder;
mod lambda;
mod logs;
mod s3;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ids, Timestamp};
use node::{EventSink, Node};
use reconcile::{Driver, DriverHandle, Status, Timer, Wakeups};
use state::State;
use state::ecs::{ContainerInstance, Task};

pub use ecs::{
    NewInstance, NotAdded, NotInterrupted, NotRemoved, Pace, Paces, SpotInterruption, TimeScale, TrafficError,
    TrafficOnRecord, TrafficOrder, TrafficProgress, TrafficShift,
};
pub use events::{ApiFault, OwnApi};
pub use host_folder::HostFolder;
pub use settings::Settings;

/// How long a reset waits for the controllers to come to rest, by the machine's clock. A container that ignores SIGTERM
/// has up to 120 seconds, but none of them is waited for: a reset takes containers off the node at once.
const RESET_WAIT_MAX: Duration = Duration::from_secs(60);

/// What every controller is given.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) state: Arc<State>,
    pub(crate) node: Node,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) wakeups: Wakeups,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) settings: Arc<Settings>,
    /// Calls what AWS's own services would call.
    pub(crate) api: Arc<dyn OwnApi>,
    /// Carries out how the traffic of services is shared.
    pub(crate) traffic: Arc<dyn TrafficShift>,
    pub(crate) instances: Arc<ecs::InstanceWatch>,
    /// When these controllers began.
    pub(crate) started_at: Timestamp,
}

/// The controllers before they run: made first, because the node needs somewhere to send its events.
#[derive(Clone)]
pub struct Controllers {
    wakeups: Wakeups,
    settings: Arc<Settings>,
    traffic: Arc<dyn TrafficShift>,
    sandboxes: Arc<ecs::SandboxIndex>,
    api: Arc<dyn OwnApi>,
}

impl Default for Controllers {
    fn default() -> Self {
        Self {
            wakeups: Wakeups::default(),
            settings: Arc::default(),
            traffic: Arc::new(TrafficOnRecord),
            sandboxes: Arc::default(),
            api: Arc::new(events::NoApi),
        }
    }
}

/// The controllers at work.
#[derive(Clone)]
pub struct Running {
    world: World,
    driver: DriverHandle,
    pulls: Arc<ecs::Pulls>,
}

impl Controllers {
    /// Makes the controllers; nothing runs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how tasks are to run.
    #[must_use]
    pub fn with(self, settings: Settings) -> Self {
        Self { settings: Arc::new(settings), ..self }
    }

    /// Says who answers the calls of AWS's own services.
    #[must_use]
    pub fn with_api(self, api: Arc<dyn OwnApi>) -> Self {
        Self { api, ..self }
    }

    /// Says who carries out how the traffic of services is shared among their revisions. Unless it is said, the records
    /// alone show it.
    #[must_use]
    pub fn with_traffic(self, traffic: Arc<dyn TrafficShift>) -> Self {
        Self { traffic, ..self }
    }

    /// Returns where the node is to send its events.
    pub fn event_sink(&self) -> EventSink {
        let (wakeups, sandboxes) = (self.wakeups.clone(), Arc::clone(&self.sandboxes));
        Arc::new(move |event| sandboxes.dispatch(&wakeups, &event))
    }

    /// Starts everything: watches the tables, looks at every record once, and removes what no record knows.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or if the tables of `state` are watched already.
    pub fn spawn(
        self,
        state: Arc<State>,
        node: Node,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        ids: Ids,
    ) -> Running {
        let Self { wakeups, settings, traffic, sandboxes, api } = self;
        sandboxes.watch(&state, &wakeups);
        ecs::watch_task_definitions(&state, &wakeups);
        ecs::watch_services(&state, &wakeups);
        let instances = Arc::<ecs::InstanceWatch>::default();
        instances.watch(&state, &wakeups);
        codedeploy::watch_deployments(&state, &wakeups);
        logs::watch_log_groups(&state, &wakeups);
        s3::watch_discarded(&state, &wakeups);
        ecr::watch_repositories(&state, &wakeups);
        ecr::watch_for_tidying(&state, &wakeups);
        events::watch(&state, &wakeups);
        let started_at = clock.now();
        let world = World {
            state,
            node,
            clock: Arc::clone(&clock),
            ids,
            wakeups: wakeups.clone(),
            timer: Arc::clone(&timer),
            settings,
            api,
            traffic,
            instances,
            started_at,
        };
        let pulls = Arc::<ecs::Pulls>::default();
        let driver = Driver::new(wakeups, timer, clock)
            .add(Arc::new(ecs::TaskReconciler::new(world.clone(), Arc::clone(&pulls))))
            .add(Arc::new(ecs::PullReconciler::new(world.clone(), Arc::clone(&pulls))))
            .add(Arc::new(ecs::ServiceReconciler::new(world.clone())))
            .add(Arc::new(ecs::InstanceReconciler::new(world.clone())))
            .add(Arc::new(codedeploy::DeploymentReconciler::new(world.clone())))
            .add(Arc::new(ecs::TaskDefinitionReconciler::new(world.clone())))
            .add(Arc::new(ecs::LogReconciler::new(world.clone())))
            .add(Arc::new(ecs::HealthReconciler::new(world.clone())))
            .add(Arc::new(logs::RetentionReconciler::new(world.clone())))
            .add(Arc::new(ecr::LifecycleReconciler::new(world.clone())))
            .add(Arc::new(ecr::TidyingReconciler::new(world.clone())))
            .add(Arc::new(ecs::OrphanReconciler::new(world.clone())))
            .add(Arc::new(events::OutboxReconciler::new(world.clone())))
            .add(Arc::new(events::PostedReconciler::new(world.clone())))
            .add(Arc::new(events::RuleScheduleReconciler::new(world.clone())))
            .add(Arc::new(events::ScheduleReconciler::new(world.clone())))
            .add(Arc::new(events::DeliveryReconciler::new(world.clone(), events::Lane::Own)))
            .add(Arc::new(events::DeliveryReconciler::new(world.clone(), events::Lane::Http)))
            .add(Arc::new(s3::DiscardReconciler::new(world.clone())))
            .spawn();
        Running { world, driver, pulls }
    }
}

impl Running {
    /// Returns the driver, to wait for it and to ask how it is doing.
    pub fn driver(&self) -> &DriverHandle {
        &self.driver
    }

    /// Waits until the controllers have nothing to do before time passes, and what they did is kept.
    pub async fn rest(&self) {
        self.driver.idle().await;
        let state = Arc::clone(&self.world.state);
        match tokio::task::spawn_blocking(move || state.flush()).await {
            Ok(Ok(())) => {}
            // The journal has said so itself; whoever waits for rest would wait for ever.
            Ok(Err(error)) => tracing::debug!(%error, "what was done is not kept"),
            Err(error) => tracing::error!(%error, "waiting for the journal failed"),
        }
    }

    /// Returns how many steps the controllers have made.
    pub fn steps(&self) -> u64 {
        self.driver.statuses().iter().map(|status| status.steps).sum()
    }

    /// Empties all state and takes every task off the node. Returns when nothing is left of either. The networks of VPCs
    /// stay until the end: a task that is started meanwhile may be in one already.
    pub async fn reset(&self) -> Result<(), ResetError> {
        self.world.state.clear();
        // A step that was running may still have put something on the node: it is over when the driver is idle. Those
        // who go on making tasks keep it from that.
        if !self.driver.is_idle_within(RESET_WAIT_MAX).await {
            return Err(ResetError { left: busy(&self.driver.statuses()) });
        }
        ecs::remove_orphans(&self.world).await.map_err(|left| ResetError { left })
    }

    /// Takes the capacity of tasks on Fargate Spot back, and returns the tasks: they are under notice from now on, are asked
    /// to end at once, and have as long as their containers may take to stop.
    ///
    /// # Errors
    ///
    /// If one of those that are named cannot be interrupted; then none is.
    pub fn interrupt(&self, wanted: &SpotInterruption) -> Result<Vec<Arc<Task>>, NotInterrupted> {
        ecs::interrupt(&self.world, wanted)
    }

    /// Gives a cluster a container instance that this machine plays.
    ///
    /// # Errors
    ///
    /// If there is no such cluster or subnet.
    pub fn add_instance(&self, wanted: &NewInstance) -> Result<Arc<ContainerInstance>, NotAdded> {
        ecs::add_instance(&self.world, wanted)
    }

    /// Returns the container instances that this machine plays.
    pub fn instances(&self) -> Vec<Arc<ContainerInstance>> {
        ecs::list_instances(&self.world)
    }

    /// Deregisters a container instance that this machine plays, and with `is_forced` ends the tasks on it.
    ///
    /// # Errors
    ///
    /// If there is no such instance, or tasks are on it.
    pub fn remove_instance(&self, named: &str, is_forced: bool) -> Result<Arc<ContainerInstance>, NotRemoved> {
        ecs::remove_instance(&self.world, named, is_forced)
    }

    /// Ends the controllers. Tasks go on running; whoever starts with the same state finds them again.
    pub async fn shutdown(&self) -> Result<(), ResetError> {
        self.end_driver().await;
        let running =
            self.world.node.runtime.sandboxes().await.map_err(|error| ResetError { left: error.to_string() })?;
        if running.is_empty() {
            return self.clear_node().await;
        }
        tracing::info!(tasks = running.len(), "tasks go on running; a start with the same data directory finds them");
        Ok(())
    }

    /// Ends the controllers and takes every task off the node.
    pub async fn shutdown_with_tasks(&self) -> Result<(), ResetError> {
        self.end_driver().await;
        self.world.state.clear();
        self.clear_node().await
    }

    async fn end_driver(&self) {
        // Nobody waits minutes for an image so that a server can end: the next one begins the pull anew.
        self.pulls.give_up();
        self.driver.shutdown().await;
    }

    async fn clear_node(&self) -> Result<(), ResetError> {
        ecs::remove_orphans(&self.world).await.map_err(|left| ResetError { left })?;
        let cleared = self.world.node.network.clear().await;
        cleared.map_err(|error| ResetError { left: error.to_string() })
    }
}

/// Says which controllers have something to do.
fn busy(statuses: &[Status]) -> String {
    let is_busy = |status: &&Status| status.running + status.queued > 0;
    let names = statuses.iter().filter(is_busy).map(|status| status.reconciler).collect::<Vec<_>>();
    format!("the controllers did not come to rest in {RESET_WAIT_MAX:?}: {}", names.join(", "))
}

/// Something could not be taken off the node.
#[derive(Debug, thiserror::Error)]
#[error("not everything could be taken off the node: {left}")]
pub struct ResetError {
    /// What is left, and why.
    left: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_that_gives_up_says_who_was_busy() {
        let status = |reconciler, queued, running| Status { reconciler, queued, running, ..Status::default() };
        let statuses = [status("ecs.logs", 0, 0), status("ecs.services", 3, 0), status("ecs.tasks", 0, 1)];
        let error = ResetError { left: busy(&statuses) };
        assert_eq!(
            error.to_string(),
            "not everything could be taken off the node: the controllers did not come to rest in 60s: ecs.services, \
             ecs.tasks"
        );
    }
}
