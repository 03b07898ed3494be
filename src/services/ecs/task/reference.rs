//! How requests name a task: its id beside a cluster, or its ARN.

use base::{Arn, TaskId};
use state::Cx;
use state::ecs::{Cluster, TaskKey};

use crate::{Result, invalid};

/// The lengths of task ids: today's, and the UUIDs of before 2021.
const ID_LENGTHS: [usize; 2] = [32, 36];

/// Reads an id or an ARN. A task of another cluster or region is one that is missing: the key then names none.
pub(crate) fn parse(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<TaskKey> {
    let key = |id: &str| TaskKey { cluster: cluster.name.clone(), id: TaskId::new(id) };
    if !reference.starts_with("arn:") {
        return check_length(reference).map(|()| key(reference));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let path = arn.resource_of("task").ok_or_else(|| invalid("The ARN provided is invalid."))?;
    let (of_cluster, id) = path.split_once('/').unwrap_or((cluster.name.as_str(), path));
    check_length(id)?;
    let is_here = arn.region().as_ref() == Some(&cx.scope().region) && of_cluster == cluster.name.as_str();
    Ok(if is_here { key(id) } else { key("") })
}

/// Builds the ARN that a failure bears, whichever way the task was named.
pub(super) fn arn_of(cx: &Cx, cluster: &Cluster, reference: &str) -> String {
    if reference.starts_with("arn:") {
        return reference.to_owned();
    }
    Arn::new("ecs", cx.scope(), &format!("task/{}/{reference}", cluster.name)).to_string()
}

fn check_length(id: &str) -> Result<()> {
    if ID_LENGTHS.contains(&id.len()) { Ok(()) } else { Err(invalid("taskId length should be one of [32,36]")) }
}
