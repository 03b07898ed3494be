//! The configuration of an alarm: what requests say and responses repeat. Pure functions.

use api::cloudwatch as api;
use state::cloudwatch::Alarm;
use wire::{ApiError, document};

use crate::{Error, Result, invalid};

/// What a request may say of points that are missing.
const MISSING_DATA: [&str; 4] = ["breaching", "notBreaching", "ignore", "missing"];
/// What a request may say of percentiles of few samples.
const LOW_SAMPLE_COUNT: [&str; 2] = ["evaluate", "ignore"];
/// The periods, in seconds, of metrics of high resolution.
const SHORT_PERIODS_S: [i32; 3] = [10, 20, 30];
/// Other periods are multiples of this, in seconds.
const PERIOD_UNIT_S: i32 = 60;
/// From this period on, in seconds, an alarm may look a week back.
const LONG_PERIOD_S: i32 = 3_600;
const DAY_S: i64 = 86_400;
const WEEK_S: i64 = 7 * DAY_S;

/// Checks a request and returns its configuration: the alarm as responses show it, without its state.
pub(crate) fn of(input: api::PutMetricAlarmInput) -> Result<api::MetricAlarm> {
    check_metric(&input)?;
    check_threshold(&input)?;
    check_windows(&input)?;
    one_of("TreatMissingData", input.treat_missing_data.as_deref(), &MISSING_DATA)?;
    let low_sample_count = input.evaluate_low_sample_count_percentile.as_deref();
    one_of("EvaluateLowSampleCountPercentile", low_sample_count, &LOW_SAMPLE_COUNT)?;
    Ok(api::MetricAlarm {
        alarm_description: input.alarm_description,
        ok_actions: Some(input.ok_actions.unwrap_or_default()),
        alarm_actions: Some(input.alarm_actions.unwrap_or_default()),
        insufficient_data_actions: Some(input.insufficient_data_actions.unwrap_or_default()),
        metric_name: input.metric_name,
        namespace: input.namespace,
        statistic: input.statistic,
        extended_statistic: input.extended_statistic,
        dimensions: Some(input.dimensions.unwrap_or_default()),
        period: input.period,
        unit: input.unit,
        evaluation_periods: input.evaluation_periods,
        datapoints_to_alarm: input.datapoints_to_alarm,
        threshold: input.threshold,
        comparison_operator: input.comparison_operator,
        treat_missing_data: input.treat_missing_data,
        evaluate_low_sample_count_percentile: input.evaluate_low_sample_count_percentile,
        metrics: input.metrics,
        threshold_metric_id: input.threshold_metric_id,
        evaluation_criteria: input.evaluation_criteria,
        evaluation_interval: input.evaluation_interval,
        ..api::MetricAlarm::default()
    })
}

/// Shows an alarm: its configuration with its state.
pub(crate) fn view(alarm: &Alarm) -> api::MetricAlarm {
    api::MetricAlarm {
        alarm_name: Some(alarm.name.clone()),
        alarm_arn: Some(alarm.arn.to_string()),
        alarm_configuration_updated_timestamp: Some(alarm.configured_at.into()),
        actions_enabled: Some(alarm.is_acting),
        state_value: Some(alarm.state.as_str().into()),
        state_reason: Some(alarm.state_reason.clone()),
        state_reason_data: alarm.state_reason_data.clone(),
        state_updated_timestamp: Some(alarm.state_updated_at.into()),
        state_transitioned_timestamp: Some(alarm.state_transitioned_at.into()),
        ..document::read(&alarm.configuration)
    }
}

/// An alarm watches one metric, or an expression of several, or a query.
fn check_metric(input: &api::PutMetricAlarmInput) -> Result<()> {
    let ways = [input.metric_name.is_some(), input.metrics.is_some(), input.evaluation_criteria.is_some()];
    match ways.iter().filter(|is_given| **is_given).count() {
        0 => return Err(missing("Metric name must be specified when Metrics is not specified.")),
        1 => {}
        _ => return Err(combination("MetricName, Metrics and EvaluationCriteria exclude each other.")),
    }
    if input.metric_name.is_none() {
        return Ok(());
    }
    match (&input.statistic, &input.extended_statistic) {
        (None, None) => return Err(invalid("Must specify either Statistic or ExtendedStatistic.")),
        (Some(_), Some(_)) => {
            return Err(combination("Statistic and ExtendedStatistic exclude each other."));
        }
        _ => {}
    }
    required(input.namespace.is_some(), "Namespace")?;
    required(input.period.is_some(), "Period")
}

/// A query has its threshold in itself; all else is compared with a number or with a band of a model.
fn check_threshold(input: &api::PutMetricAlarmInput) -> Result<()> {
    if input.evaluation_criteria.is_some() {
        return Ok(());
    }
    required(input.evaluation_periods.is_some(), "EvaluationPeriods")?;
    required(input.comparison_operator.is_some(), "ComparisonOperator")?;
    match (input.threshold, &input.threshold_metric_id) {
        (None, None) => Err(missing("The parameter Threshold is required.")),
        (Some(_), Some(_)) => Err(combination("Threshold and ThresholdMetricId exclude each other.")),
        _ => Ok(()),
    }
}

fn check_windows(input: &api::PutMetricAlarmInput) -> Result<()> {
    let periods = input.evaluation_periods.unwrap_or(1);
    // Texts of this function but that of the day are unverified.
    if input.datapoints_to_alarm.is_some_and(|points| points > periods) {
        return Err(invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods."));
    }
    let Some(period) = input.period else { return Ok(()) };
    if !SHORT_PERIODS_S.contains(&period) && period % PERIOD_UNIT_S != 0 {
        return Err(invalid("Period must be 10, 20, 30 or a multiple of 60."));
    }
    let looks_back = i64::from(period) * i64::from(periods);
    if period < LONG_PERIOD_S && looks_back > DAY_S {
        return Err(invalid(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).",
        ));
    }
    if looks_back > WEEK_S {
        return Err(invalid(
            "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800).",
        ));
    }
    Ok(())
}

// Texts below are unverified; the codes are those of the API reference.
fn one_of(name: &str, value: Option<&str>, known: &[&str]) -> Result<()> {
    match value {
        Some(value) if !known.contains(&value) => {
            Err(invalid(format!("Unsupported value {value} for {name}. Valid values are: {}.", known.join(", "))))
        }
        _ => Ok(()),
    }
}

fn required(is_given: bool, name: &str) -> Result<()> {
    if is_given { Ok(()) } else { Err(missing(&format!("The parameter {name} is required."))) }
}

fn missing(message: &str) -> Error {
    ApiError::client("MissingParameter", message).into()
}

fn combination(message: &str) -> Error {
    ApiError::client("InvalidParameterCombination", message).into()
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region, Scope, Timestamp};

    use super::*;

    fn request() -> api::PutMetricAlarmInput {
        api::PutMetricAlarmInput {
            alarm_name: Some("cpu".to_owned()),
            metric_name: Some("CPUUtilization".to_owned()),
            namespace: Some("AWS/ECS".to_owned()),
            statistic: Some(api::Statistic::Average),
            period: Some(60),
            evaluation_periods: Some(3),
            threshold: Some(80.5),
            comparison_operator: Some(api::ComparisonOperator::GreaterThanThreshold),
            ..api::PutMetricAlarmInput::default()
        }
    }

    #[track_caller]
    fn refuses(change: impl FnOnce(&mut api::PutMetricAlarmInput), code: &str) {
        let mut input = request();
        change(&mut input);
        assert_eq!(ApiError::from(of(input).unwrap_err()).code(), code);
    }

    #[test]
    fn an_alarm_is_shown_as_it_was_asked_for() {
        let configuration = of(request()).unwrap();
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let now = Timestamp::from_millis(1_000);
        let alarm = Alarm::new("cpu".to_owned(), &scope, document::write(&configuration), now);
        let shown = view(&alarm);
        assert_eq!((shown.threshold, shown.period), (Some(80.5), Some(60)));
        assert_eq!(shown.state_value, Some(api::StateValue::InsufficientData));
        assert_eq!(shown.comparison_operator, configuration.comparison_operator);
    }

    #[test]
    fn one_metric_is_watched_in_one_way() {
        refuses(|input| input.metric_name = None, "MissingParameter");
        refuses(|input| input.metrics = Some(Vec::new()), "InvalidParameterCombination");
        refuses(|input| input.namespace = None, "MissingParameter");
        refuses(|input| input.statistic = None, "ValidationError");
        refuses(|input| input.extended_statistic = Some("p99".to_owned()), "InvalidParameterCombination");
        refuses(|input| input.period = None, "MissingParameter");
    }

    #[test]
    fn there_is_something_to_compare_with() {
        refuses(|input| input.threshold = None, "MissingParameter");
        refuses(|input| input.threshold_metric_id = Some("m1".to_owned()), "InvalidParameterCombination");
        refuses(|input| input.comparison_operator = None, "MissingParameter");
        refuses(|input| input.evaluation_periods = None, "MissingParameter");
    }

    #[test]
    fn an_alarm_looks_back_a_day_or_with_long_periods_a_week() {
        for (period, periods, is_fine) in [
            (10, 1, true),
            (45, 1, false),
            (60, 1440, true),
            (60, 1441, false),
            (3_600, 168, true),
            (3_600, 169, false),
        ] {
            let input =
                api::PutMetricAlarmInput { period: Some(period), evaluation_periods: Some(periods), ..request() };
            assert_eq!(of(input).is_ok(), is_fine, "{period} × {periods}");
        }
        refuses(|input| input.datapoints_to_alarm = Some(4), "ValidationError");
    }

    #[test]
    fn words_that_cloudwatch_does_not_know_are_refused() {
        refuses(|input| input.treat_missing_data = Some("maybe".to_owned()), "ValidationError");
        refuses(|input| input.evaluate_low_sample_count_percentile = Some("x".to_owned()), "ValidationError");
    }
}
