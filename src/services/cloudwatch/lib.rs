//! CloudWatch: the operations of alarms on metrics.
//!
//! There are no metrics here: an alarm keeps its state until SetAlarmState says another. Where AWS's wording of an error was
//! not seen, the file says so.

mod configuration;
mod describe;
mod history;
mod listing;
mod put;
mod remove;
mod state_of;
mod tag;
mod violation;

use state::Cx;
use wire::ApiError;

/// What a handler fails with.
type Error = api::cloudwatch::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::cloudwatch,
    violation = violation::words,
    routes: [
        DeleteAlarms => remove::delete_alarms,
        DescribeAlarmHistory => history::describe_alarm_history,
        DescribeAlarms => describe::describe_alarms,
        DescribeAlarmsForMetric => describe::describe_alarms_for_metric,
        DisableAlarmActions => state_of::disable_alarm_actions,
        EnableAlarmActions => state_of::enable_alarm_actions,
        ListTagsForResource => tag::list_tags_for_resource,
        PutMetricAlarm => put::put_metric_alarm,
        SetAlarmState => state_of::set_alarm_state,
        TagResource => tag::tag_resource,
        UntagResource => tag::untag_resource,
    ],
};

/// Makes the error of a request that cannot be; the model does not list it.
fn invalid(message: impl Into<String>) -> Error {
    ApiError::client("ValidationError", message).into()
}
