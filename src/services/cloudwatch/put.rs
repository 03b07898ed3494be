//! Making alarms and configuring them anew.

use api::cloudwatch as api;
use serde_json::json;
use state::cloudwatch::{Alarm, HistoryItem, HistoryKind};
use state::{Cx, Document};
use wire::document;

use crate::{Error, Result, configuration, tag};

/// How many alarms an account has at most in a region.
const ALARMS_MAX: usize = 5_000;

/// Makes an alarm, or gives one a new configuration as a whole: its state stays, and the tags of the request do not count.
pub(crate) async fn put_metric_alarm(cx: &Cx, mut input: api::PutMetricAlarmInput) -> Result<()> {
    let name = input.alarm_name.take().unwrap_or_default();
    let is_acting = input.actions_enabled.unwrap_or(true);
    let tags = tag::read(input.tags.take().unwrap_or_default())?;
    let document = document::write::<Document>(&configuration::of(input)?);
    let alarms = &cx.state.cloudwatch.alarms;
    if alarms.get(cx.scope(), &name).is_none() && alarms.walk(cx.scope(), None).take(ALARMS_MAX).count() == ALARMS_MAX {
        // Text unverified.
        return Err(Error::LimitExceededFault("The maximum limit of alarms for this account is reached.".to_owned()));
    }
    let (_, is_new) = alarms.get_or_insert_with(cx.scope(), &name, || {
        let mut alarm = Alarm::new(name.clone(), cx.scope(), document.clone(), cx.now());
        alarm.is_acting = is_acting;
        alarm.tags = tags;
        remember(&mut alarm, cx, true);
        alarm
    });
    if !is_new {
        alarms.update(cx.scope(), &name, |alarm| {
            alarm.configuration = document;
            alarm.is_acting = is_acting;
            alarm.configured_at = cx.now();
            remember(alarm, cx, false);
        });
    }
    Ok(())
}

fn remember(alarm: &mut Alarm, cx: &Cx, is_new: bool) {
    let (verb, kind, member) =
        if is_new { ("created", "Create", "createdAlarm") } else { ("updated", "Update", "updatedAlarm") };
    let shown = document::write::<String>(&configuration::view(alarm));
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("what was written is JSON");
    let data = json!({ "version": "1.0", "type": kind, member: shown });
    alarm.remember(HistoryItem {
        at: cx.now(),
        kind: HistoryKind::ConfigurationUpdate,
        summary: format!("Alarm \"{}\" {verb}", alarm.name),
        data: Document::new(data.to_string()),
    });
}
