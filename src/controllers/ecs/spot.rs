//! Spot capacity that is taken back: on Fargate by Amazon, here by whoever asks for it.

use std::sync::Arc;

use base::Scope;
use state::ecs::{Cluster, FARGATE_SPOT, StopCode, StopRequest, Task};

use super::reason;
use crate::World;

/// Which tasks on Spot capacity are to be interrupted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotInterruption {
    /// Only those of this cluster: a name, which may be that of clusters in several regions, or an ARN.
    pub cluster: Option<String>,
    /// These tasks, by id or ARN; none for all of them.
    pub tasks: Option<Vec<String>>,
}

/// Why no task is interrupted, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInterrupted {
    /// There is no such cluster.
    #[error("there is no cluster {0}; `aws ecs list-clusters` says which there are")]
    NoCluster(String),
    /// There is no such task, or not in that cluster.
    #[error("there is no task {0} here; `aws ecs list-tasks` says which there are in a cluster")]
    NoTask(String),
    /// The task's capacity cannot be taken back.
    #[error(
        "the task {0} is not on {FARGATE_SPOT} and cannot be interrupted; run it with `--capacity-provider-strategy \
         capacityProvider={FARGATE_SPOT},weight=1`, or stop it with `aws ecs stop-task`"
    )]
    NotSpot(String),
    /// The task has been asked to stop before.
    #[error("the task {0} is stopping already or has stopped; run another one to interrupt it")]
    Stopping(String),
}

/// Interrupts tasks, and returns them. One that something else stops at the same moment is left out.
pub(crate) fn interrupt(world: &World, wanted: &SpotInterruption) -> Result<Vec<Arc<Task>>, NotInterrupted> {
    let ecs = &world.state.ecs;
    let clusters = ecs.clusters.keys().into_iter().filter_map(|(scope, name)| ecs.clusters.get(&scope, &name));
    let tasks = ecs.tasks.keys().into_iter().filter_map(|(scope, key)| Some((ecs.tasks.get(&scope, &key)?, scope)));
    let (tasks, scopes): (Vec<Arc<Task>>, Vec<Scope>) = tasks.unzip();
    let chosen = choose(wanted, &clusters.collect::<Vec<_>>(), &tasks)?;
    let stop = StopRequest {
        code: StopCode::SpotInterruption,
        reason: reason::SPOT_INTERRUPTED.to_owned(),
        at: world.clock.now(),
    };
    let interrupt = |place: usize| ecs.stop_task(&scopes[place], &tasks[place].key, stop.clone());
    let is_interrupted = |task: &Arc<Task>| task.stop.as_ref() == Some(&stop);
    Ok(chosen.into_iter().filter_map(interrupt).filter(is_interrupted).collect())
}

/// Returns the places of the tasks that are to be interrupted, each once.
fn choose(
    wanted: &SpotInterruption,
    clusters: &[Arc<Cluster>],
    tasks: &[Arc<Task>],
) -> Result<Vec<usize>, NotInterrupted> {
    let is_cluster =
        |wanted: &str, cluster: &Cluster| cluster.name.as_str() == wanted || cluster.arn.as_str() == wanted;
    let mut those = None;
    if let Some(wanted) = &wanted.cluster {
        let arns = clusters.iter().filter(|cluster| is_cluster(wanted, cluster)).map(|cluster| &cluster.arn);
        let arns = arns.collect::<Vec<_>>();
        if arns.is_empty() {
            return Err(NotInterrupted::NoCluster(wanted.clone()));
        }
        those = Some(arns);
    }
    let is_there = |task: &Task| those.as_ref().is_none_or(|arns| arns.contains(&&task.cluster_arn));
    let Some(names) = &wanted.tasks else {
        let is_meant = |place: &usize| {
            let task = &tasks[*place];
            is_there(task) && task.is_on_spot() && task.stop.is_none()
        };
        return Ok((0..tasks.len()).filter(is_meant).collect());
    };
    let mut chosen = Vec::new();
    for name in names {
        let is_named = |task: &Arc<Task>| task.key.id.as_str() == name || task.arn.as_str() == name;
        let place = tasks.iter().position(|task| is_named(task) && is_there(task));
        let place = place.ok_or_else(|| NotInterrupted::NoTask(name.clone()))?;
        if !tasks[place].is_on_spot() {
            return Err(NotInterrupted::NotSpot(name.clone()));
        }
        if tasks[place].stop.is_some() {
            return Err(NotInterrupted::Stopping(name.clone()));
        }
        if !chosen.contains(&place) {
            chosen.push(place);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, Region, TaskId, Timestamp};
    use state::ecs::{ClusterName, TaskStatus};

    use super::super::samples;
    use super::*;

    fn cluster(name: &str) -> Arc<Cluster> {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let name = ClusterName::parse(name).unwrap();
        Arc::new(Cluster::new(&scope, name, Timestamp::from_millis(0), Vec::new()))
    }

    /// Makes a task from words such as `a/1:s`: the cluster, the id, and `s` on Spot, `f` on Fargate, `x` stopping.
    fn task(word: &str, clusters: &[Arc<Cluster>]) -> Arc<Task> {
        let (cluster, rest) = word.split_once('/').unwrap();
        let (id, kind) = rest.split_once(':').unwrap();
        let cluster = clusters.iter().find(|known| known.name.as_str() == cluster).unwrap();
        let mut task = samples::task(vec![samples::container("app")]);
        task.key.cluster = cluster.name.clone();
        task.key.id = TaskId::new(id);
        task.cluster_arn = cluster.arn.clone();
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        task.arn = Arn::new("ecs", &scope, &format!("task/{}/{id}", cluster.name));
        task.capacity_provider = (kind != "f").then(|| FARGATE_SPOT.to_owned());
        task.stop = (kind == "x").then(|| StopRequest {
            code: StopCode::UserInitiated,
            reason: String::new(),
            at: Timestamp::from_millis(0),
        });
        Arc::new(task)
    }

    #[test]
    fn tasks_are_interrupted_that_are_on_spot_and_none_if_one_is_not() {
        let clusters = ["a", "b", "empty"].map(cluster);
        let tasks = ["a/1:s", "a/2:f", "a/3:x", "b/4:s", "b/5:f"].map(|word| task(word, &clusters));
        let arn = tasks[3].arn.as_str();
        type Row<'a> = (Option<&'a str>, Option<&'a [&'a str]>, &'a str);
        // cluster, tasks → places, or the words of the refusal
        let rows: [Row<'_>; 16] = [
            (None, None, "0 3"),
            (Some("a"), None, "0"),
            (Some("b"), None, "3"),
            (Some(clusters[1].arn.as_str()), None, "3"),
            (Some("empty"), None, ""),
            (Some("none"), None, "there is no cluster none"),
            (None, Some(&["1"]), "0"),
            (None, Some(&["4", "1"]), "3 0"),
            (None, Some(&["1", "1"]), "0"),
            (None, Some(&[arn, "4"]), "3"),
            (Some("b"), Some(&["4"]), "3"),
            (Some("a"), Some(&["4"]), "there is no task 4 here"),
            (None, Some(&["1", "9"]), "there is no task 9 here"),
            (None, Some(&["2"]), "the task 2 is not on FARGATE_SPOT and cannot be interrupted"),
            (None, Some(&["1", "3"]), "the task 3 is stopping already or has stopped"),
            (Some("none"), Some(&["1"]), "there is no cluster none"),
        ];
        for (cluster, names, expected) in rows {
            let wanted = SpotInterruption {
                cluster: cluster.map(ToOwned::to_owned),
                tasks: names.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            };
            let shown = match choose(&wanted, &clusters, &tasks) {
                Ok(places) => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(refusal) => {
                    let text = refusal.to_string();
                    text.split_once(';').unwrap().0.to_owned()
                }
            };
            assert_eq!(shown, expected, "{cluster:?} {names:?}");
        }
    }

    #[test]
    fn an_interrupted_task_is_under_notice_until_it_has_stopped() {
        use TaskStatus::{Activating, Deactivating, Deprovisioning, Pending, Provisioning, Running, Stopped, Stopping};
        let mut task = samples::task(vec![samples::container("app")]);
        assert_eq!(task.stop_code(), None);
        task.stop = Some(StopRequest {
            code: StopCode::SpotInterruption,
            reason: reason::SPOT_INTERRUPTED.to_owned(),
            at: Timestamp::from_millis(0),
        });
        for status in [Provisioning, Pending, Activating, Running, Deactivating, Stopping, Deprovisioning] {
            task.last_status = status;
            assert_eq!(task.stop_code(), Some("TerminationNotice"), "{status:?}");
        }
        task.last_status = Stopped;
        assert_eq!(task.stop_code(), Some("SpotInterruption"));
    }
}
