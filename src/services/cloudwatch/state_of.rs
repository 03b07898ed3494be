//! What an alarm says and whether it acts on it.

use api::cloudwatch as api;
use serde_json::{Value, json};
use state::cloudwatch::{Alarm, AlarmState, HistoryItem, HistoryKind};
use state::{Cx, Document};

use crate::{Error, Result};

/// Sets the state of an alarm.
pub(crate) async fn set_alarm_state(cx: &Cx, input: api::SetAlarmStateInput) -> Result<()> {
    let name = input.alarm_name.unwrap_or_default();
    let state = match input.state_value {
        Some(api::StateValue::Ok) => AlarmState::Ok,
        Some(api::StateValue::Alarm) => AlarmState::Alarm,
        // The check against the model has refused all else.
        Some(api::StateValue::InsufficientData | api::StateValue::Other(_)) | None => AlarmState::InsufficientData,
    };
    let is_json = |data: &String| serde_json::from_str::<Value>(data).is_ok();
    if input.state_reason_data.as_ref().is_some_and(|data| !is_json(data)) {
        // Text unverified.
        return Err(Error::InvalidFormatFault("StateReasonData was not syntactically valid JSON.".to_owned()));
    }
    let changed = cx.state.cloudwatch.alarms.update(cx.scope(), &name, |alarm| {
        let before = shown(alarm);
        let is_other = alarm.state != state;
        let was = std::mem::replace(&mut alarm.state, state);
        alarm.state_reason = input.state_reason.unwrap_or_default();
        alarm.state_reason_data = input.state_reason_data;
        alarm.state_updated_at = cx.now();
        if is_other {
            alarm.state_transitioned_at = cx.now();
            let data = json!({ "version": "1.0", "oldState": before, "newState": shown(alarm) });
            alarm.remember(HistoryItem {
                at: cx.now(),
                kind: HistoryKind::StateUpdate,
                summary: format!("Alarm updated from {} to {}", was.as_str(), state.as_str()),
                data: Document::new(data.to_string()),
            });
        }
    });
    // Text unverified.
    changed.map(drop).ok_or_else(|| Error::ResourceNotFound(format!("Alarm {name} does not exist.")))
}

/// Lets alarms act.
pub(crate) async fn enable_alarm_actions(cx: &Cx, input: api::EnableAlarmActionsInput) -> Result<()> {
    set_acting(cx, input.alarm_names, true);
    Ok(())
}

/// Keeps alarms from acting.
pub(crate) async fn disable_alarm_actions(cx: &Cx, input: api::DisableAlarmActionsInput) -> Result<()> {
    set_acting(cx, input.alarm_names, false);
    Ok(())
}

/// Alarms that are not there are passed over: the model knows no error of these operations.
fn set_acting(cx: &Cx, names: Option<Vec<String>>, is_acting: bool) {
    for name in names.unwrap_or_default() {
        cx.state.cloudwatch.alarms.update(cx.scope(), &name, |alarm| alarm.is_acting = is_acting);
    }
}

/// Shows a state as the history does.
fn shown(alarm: &Alarm) -> Value {
    let data = alarm.state_reason_data.as_ref().and_then(|data| serde_json::from_str::<Value>(data).ok());
    let mut state = json!({ "stateValue": alarm.state.as_str(), "stateReason": alarm.state_reason });
    if let Some(data) = data {
        state["stateReasonData"] = data;
    }
    state
}
