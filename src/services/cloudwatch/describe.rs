//! Listing alarms.

use api::cloudwatch as api;
use base::Page;
use state::Cx;
use state::cloudwatch::Alarm;
use wire::ApiError;

use crate::{Result, configuration, listing};

const LISTING: &str = "DescribeAlarms";

/// Lists alarms, sorted by name. All are alarms on metrics: there are no composite ones.
pub(crate) async fn describe_alarms(cx: &Cx, input: api::DescribeAlarmsInput) -> Result<api::DescribeAlarmsOutput> {
    if input.alarm_names.is_some() && input.alarm_name_prefix.is_some() {
        // Text unverified.
        let message = "AlarmNamePrefix and AlarmNames cannot both be specified.";
        return Err(ApiError::client("InvalidParameterCombination", message).into());
    }
    let after = listing::after(LISTING, input.next_token.clone())?;
    let alarms = cx.state.cloudwatch.alarms.walk(cx.scope(), after).map(|(_, alarm)| alarm);
    let found = alarms.filter_map(|alarm| {
        let shown = configuration::view(&alarm);
        is_asked_for(&input, &alarm, &shown).then_some((alarm, shown))
    });
    let page = Page::cut(LISTING, listing::size(input.max_records), found, |(alarm, _)| alarm.name.clone());
    Ok(api::DescribeAlarmsOutput {
        composite_alarms: Some(Vec::new()),
        metric_alarms: Some(page.items.into_iter().map(|(_, shown)| shown).collect()),
        next_token: page.next,
    })
}

/// Lists the alarms on a metric with exactly these dimensions. Statistic, period and unit count where they are given.
pub(crate) async fn describe_alarms_for_metric(
    cx: &Cx,
    input: api::DescribeAlarmsForMetricInput,
) -> Result<api::DescribeAlarmsForMetricOutput> {
    let alarms = cx.state.cloudwatch.alarms.walk(cx.scope(), None);
    let shown = alarms.map(|(_, alarm)| configuration::view(&alarm));
    let alarms = shown.filter(|alarm| watches(alarm, &input)).collect();
    Ok(api::DescribeAlarmsForMetricOutput { metric_alarms: Some(alarms) })
}

fn is_asked_for(input: &api::DescribeAlarmsInput, alarm: &Alarm, shown: &api::MetricAlarm) -> bool {
    let is_of_type =
        input.alarm_types.as_ref().is_none_or(|types| types.is_empty() || types.contains(&api::AlarmType::MetricAlarm));
    // An alarm on metrics has neither children nor parents here.
    let is_related = input.children_of_alarm_name.is_none() && input.parents_of_alarm_name.is_none();
    let is_named = input.alarm_names.as_ref().is_none_or(|names| names.is_empty() || names.contains(&alarm.name));
    let has_prefix = input.alarm_name_prefix.as_ref().is_none_or(|prefix| alarm.name.starts_with(prefix.as_str()));
    let is_in_state = input.state_value.as_ref().is_none_or(|state| state.as_str() == alarm.state.as_str());
    let actions = [&shown.ok_actions, &shown.alarm_actions, &shown.insufficient_data_actions];
    let does = |prefix: &String| actions.iter().copied().flatten().flatten().any(|action| action.starts_with(prefix));
    let acts = input.action_prefix.as_ref().is_none_or(does);
    is_of_type && is_related && is_named && has_prefix && is_in_state && acts
}

fn watches(alarm: &api::MetricAlarm, input: &api::DescribeAlarmsForMetricInput) -> bool {
    let is_given_or = |given: bool, is_same: bool| !given || is_same;
    alarm.metric_name == input.metric_name
        && alarm.namespace == input.namespace
        && dimensions(alarm.dimensions.as_deref()) == dimensions(input.dimensions.as_deref())
        && is_given_or(input.statistic.is_some(), alarm.statistic == input.statistic)
        && is_given_or(input.extended_statistic.is_some(), alarm.extended_statistic == input.extended_statistic)
        && is_given_or(input.period.is_some(), alarm.period == input.period)
        && is_given_or(input.unit.is_some(), alarm.unit == input.unit)
}

/// Returns dimensions in an order that does not depend on who wrote them.
fn dimensions(dimensions: Option<&[api::Dimension]>) -> Vec<(Option<&str>, Option<&str>)> {
    let pairs = dimensions.unwrap_or_default().iter();
    let mut pairs = pairs.map(|pair| (pair.name.as_deref(), pair.value.as_deref())).collect::<Vec<_>>();
    pairs.sort_unstable();
    pairs
}
