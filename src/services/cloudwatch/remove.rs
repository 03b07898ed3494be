//! Deleting alarms.

use api::cloudwatch as api;
use state::Cx;

use crate::{Error, Result};

/// Deletes alarms: all that are named, or none if one of them is not there. Their histories go with them.
pub(crate) async fn delete_alarms(cx: &Cx, input: api::DeleteAlarmsInput) -> Result<()> {
    let alarms = &cx.state.cloudwatch.alarms;
    let names = input.alarm_names.unwrap_or_default();
    if let Some(missing) = names.iter().find(|name| alarms.get(cx.scope(), name).is_none()) {
        // Text unverified.
        return Err(Error::ResourceNotFound(format!("Alarm {missing} does not exist.")));
    }
    for name in names {
        alarms.remove(cx.scope(), &name);
    }
    Ok(())
}
