//! The reconciler of repositories: deletes the images that their lifecycle policies let go of.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Scope;
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;
use state::ecr::lifecycle::{Action, LifecyclePolicy};
use state::ecr::{Digest, Lifecycle, Reference};

use crate::World;

const LIFECYCLE: &str = "ecr.lifecycle";
/// How often a policy is carried out. ECR takes up to 24 hours to delete what a policy lets go of.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// How many images go in one step; the rest goes in the next one. AWS, too, deletes not all at once.
const IMAGES_PER_STEP_MAX: usize = 200;

/// Carries out the lifecycle policy of each repository that has one.
pub(crate) struct LifecycleReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for LifecycleReconciler {
    fn name(&self) -> &'static str {
        LIFECYCLE
    }

    fn candidates(&self) -> Vec<Key> {
        let repositories = &self.world.state.ecr.repositories;
        repositories.keys().into_iter().map(|(scope, name)| Key::new(scope, name)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let (ecr, now) = (&self.world.state.ecr, self.world.clock.now());
        let Some(repository) = ecr.repository(&key.scope, &key.name) else { return Step::Settled };
        let Some(lifecycle) = &repository.lifecycle else { return Step::Settled };
        if let Some(due_at) = lifecycle.evaluated_at.map(|at| at.plus(LOOK_EVERY)).filter(|at| *at > now) {
            return Step::At(due_at);
        }
        if !self.carry_out(key, lifecycle) {
            return Step::Again;
        }
        let carried_out = lifecycle.put_at;
        ecr.repositories.update(&key.scope, &key.name.to_string(), |repository| {
            // A policy that was put meanwhile is not the one that was carried out.
            let same = repository.lifecycle.as_mut().filter(|it| it.put_at == carried_out);
            same.into_iter().for_each(|it| it.evaluated_at = Some(now));
        });
        Step::At(now.plus(LOOK_EVERY))
    }
}

impl LifecycleReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }

    /// Deletes what a policy lets go of; tells whether that was all.
    fn carry_out(&self, key: &Key, lifecycle: &Lifecycle) -> bool {
        let (ecr, now) = (&self.world.state.ecr, self.world.clock.now());
        // It was checked when it was put; a later version may know more rules.
        let Ok(policy) = LifecyclePolicy::parse(&lifecycle.text) else {
            tracing::warn!(repository = %key.name, "a lifecycle policy cannot be read and is not carried out");
            return true;
        };
        let verdicts = policy.evaluate(&ecr.lifecycle_candidates(&key.scope, &key.name), now);
        let expired = verdicts.iter().filter(|verdict| verdict.action == Action::Expire).collect::<Vec<_>>();
        for verdict in expired.iter().take(IMAGES_PER_STEP_MAX) {
            let Some(digest) = Digest::parse(&verdict.digest) else { continue };
            match ecr.delete_image(&key.scope, &key.name, &Reference::Digest(digest), now) {
                Ok(_) => tracing::info!(repository = %key.name, %digest, rule = verdict.priority, "an image expired"),
                // Somebody else deleted it, or put an index that names it: the next look finds it as it is then.
                Err(error) => tracing::debug!(repository = %key.name, %digest, %error, "an image does not expire"),
            }
        }
        expired.len() <= IMAGES_PER_STEP_MAX
    }
}

/// Wakes the reconciler when a repository is made or its policy changes.
pub(crate) fn watch_repositories(state: &Arc<State>, wakeups: &Wakeups) {
    let wakeups = wakeups.clone();
    let wake = move |scope: &Scope, name: &String| wakeups.wake(LIFECYCLE, Key::new(scope.clone(), name.clone()));
    state.ecr.repositories.watch(wake);
}
