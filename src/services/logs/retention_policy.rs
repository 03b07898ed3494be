//! PutRetentionPolicy and DeleteRetentionPolicy: for how long a group keeps its events.

use api::logs as api;
use state::Cx;

use crate::{Result, invalid, log_group, required};

/// The numbers of days that there are.
const DAYS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Has a group keep its events for some days. A controller drops those that are older.
pub(crate) async fn put_retention_policy(cx: &Cx, input: api::PutRetentionPolicyRequest) -> Result<()> {
    let days = required(input.retention_in_days, "retentionInDays")?;
    if !DAYS.contains(&days) {
        // The text was seen in an issue of aws-cdk, when there were fewer values.
        return Err(invalid(format!("Invalid retention value. Valid values are: {DAYS:?}")));
    }
    set(cx, required(input.log_group_name, "logGroupName")?, Some(days))
}

/// Has a group keep its events for ever.
pub(crate) async fn delete_retention_policy(cx: &Cx, input: api::DeleteRetentionPolicyRequest) -> Result<()> {
    set(cx, required(input.log_group_name, "logGroupName")?, None)
}

fn set(cx: &Cx, group: String, days: Option<i32>) -> Result<()> {
    let group = log_group::find(cx, Some(group), None)?;
    let set = |group: &mut state::logs::LogGroup| group.retention_days = days;
    cx.state.logs.groups.update(cx.scope(), &group.name, set).map(|_| ()).ok_or_else(log_group::not_found)
}
