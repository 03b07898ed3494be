//! In which order the containers of a task start and end: pure functions.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{Condition, Container, ContainerDefinition, ContainerStatus, Dependency, HealthStatus, Task};

/// What a task is and what it was started from; containers are named by their places in the task.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) task: &'a Task,
    pub(crate) definitions: &'a [ContainerDefinition],
}

/// Whether a container may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It may now.
    Ready,
    /// It waits for another one; from that time on it may wait in vain.
    Waits(Option<Timestamp>),
    /// It never will.
    Never(Obstacle),
}

/// Why a container can never start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The container that it waits for.
    pub(crate) dependency: usize,
    /// What is wrong with that one.
    pub(crate) kind: ObstacleKind,
}

/// What is wrong with a container that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObstacleKind {
    /// It took longer than its start timeout.
    TimedOut,
    /// It was to end with exit code 0, and ended with another.
    Failed,
    /// It was to become healthy, and ended.
    Ended,
    /// It was not started and will not be.
    NeverStarts,
}

impl<'a> Order<'a> {
    /// Says whether a container that was not started may start.
    pub(crate) fn readiness(self, container: usize, now: Timestamp) -> Readiness {
        let (mut is_waiting, mut until) = (false, None);
        for dependency in self.dependencies(container) {
            let Some(place) = self.place_of(&dependency.container) else { continue };
            match self.met(place, dependency.condition, now) {
                Readiness::Ready => {}
                Readiness::Waits(at) => {
                    is_waiting = true;
                    until = sooner(until, at);
                }
                Readiness::Never(obstacle) => return Readiness::Never(obstacle),
            }
        }
        if is_waiting { Readiness::Waits(until) } else { Readiness::Ready }
    }

    /// Sorts containers so that one whose volumes others mount comes before these: what its image has there is what
    /// they see.
    pub(crate) fn sort(self, mut left: Vec<usize>) -> Vec<usize> {
        let mut sorted = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let is_first = |place: &usize| {
                let sources = self.definition(*place).into_iter().flat_map(|definition| &definition.volumes_from);
                let mut sources = sources.filter_map(|from| self.place_of(&from.container));
                !sources.any(|source| source != *place && left.contains(&source))
            };
            // Those that mount each other's volumes start as they were defined.
            let next = left.iter().position(is_first).unwrap_or(0);
            sorted.push(left.remove(next));
        }
        sorted
    }

    /// Returns the containers that run and may be asked to end: nothing that runs waits for them.
    pub(crate) fn may_end(self) -> impl Iterator<Item = usize> + 'a {
        let runs = |container: &Container| container.status == ContainerStatus::Running;
        let places = 0..self.task.containers.len();
        places.filter(move |place| runs(&self.task.containers[*place])).filter(move |place| {
            let name = &self.task.containers[*place].name;
            let mut others = (0..self.task.containers.len()).filter(|other| other != place);
            !others.any(|other| {
                runs(&self.task.containers[other]) && self.dependencies(other).any(|known| known.container == *name)
            })
        })
    }

    /// Finds the definition of a container.
    pub(crate) fn definition(self, container: usize) -> Option<&'a ContainerDefinition> {
        let name = &self.task.containers.get(container)?.name;
        self.definitions.iter().find(|definition| definition.name == *name)
    }

    /// Says whether a container has come to what is asked of it.
    fn met(self, place: usize, condition: Condition, now: Timestamp) -> Readiness {
        let container = &self.task.containers[place];
        let never = |kind| Readiness::Never(Obstacle { dependency: place, kind });
        let has_ended = container.status == ContainerStatus::Stopped;
        let Some(started_at) = container.started_at else {
            return if has_ended { never(ObstacleKind::NeverStarts) } else { Readiness::Waits(None) };
        };
        let is_healthy = container.health.as_ref().is_some_and(|health| health.status == HealthStatus::Healthy);
        let is_met = match condition {
            Condition::Start => true,
            Condition::Complete => has_ended,
            Condition::Success if has_ended && container.exit_code != Some(0) => return never(ObstacleKind::Failed),
            Condition::Success => has_ended,
            Condition::Healthy if has_ended => return never(ObstacleKind::Ended),
            Condition::Healthy => is_healthy,
        };
        if is_met {
            return Readiness::Ready;
        }
        let timeout = self.definition(place).and_then(|definition| definition.start_timeout_s);
        let until = timeout.map(|seconds| started_at.plus(Duration::from_secs(u64::from(seconds))));
        if until.is_some_and(|until| now >= until) { never(ObstacleKind::TimedOut) } else { Readiness::Waits(until) }
    }

    fn dependencies(self, container: usize) -> impl Iterator<Item = &'a Dependency> {
        self.definition(container).into_iter().flat_map(|definition| &definition.depends_on)
    }

    fn place_of(self, name: &str) -> Option<usize> {
        self.task.containers.iter().position(|container| container.name == name)
    }
}

fn sooner(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
