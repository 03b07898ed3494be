//! Rules and schedules that run tasks at their times. The clock starts at 2026-01-01T00:00:00Z.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Testkit, rest_request};

use crate::{log_target, logged, rule, task_target, tasks};

async fn schedule(kit: &Testkit, name: &str, what: Value) {
    let mut wanted = json!({ "FlexibleTimeWindow": { "Mode": "OFF" } });
    wanted.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    let reply = send(kit, "POST", &format!("/schedules/{name}"), &wanted.to_string()).await;
    assert!(reply.0.is_success(), "{}", reply.1);
}

async fn send(kit: &Testkit, method: &str, path: &str, body: &str) -> (http::StatusCode, String) {
    let request = rest_request("scheduler", "123456789012", "us-east-1", (method, path), &[], body);
    let reply = kit.send(request.unwrap()).await;
    (reply.status, reply.text().to_string())
}

/// The target of a schedule has no id.
async fn scheduled_task(kit: &Testkit) -> Value {
    let mut target = task_target(kit).await;
    target.as_object_mut().unwrap().remove("Id");
    target
}

#[tokio::test]
async fn a_rule_runs_a_task_at_each_of_its_times() {
    let kit = Testkit::simulated();
    let target = task_target(&kit).await;
    rule(&kit, "hourly", json!({ "ScheduleExpression": "cron(30 * * * ? *)" }), target).await;
    kit.pass(Duration::from_hours(3)).await;
    let by = "events-rule/hourly".to_owned();
    // Stopped tasks are forgotten after an hour.
    assert_eq!(tasks(&kit).await, [(2 * 3600 + 1800, by)]);
}

#[tokio::test]
async fn a_scheduled_rule_makes_an_event_of_its_own_and_stops_with_being_disabled() {
    let kit = Testkit::simulated();
    let target = log_target(&kit).await;
    rule(&kit, "tick", json!({ "ScheduleExpression": "rate(10 minutes)" }), target).await;
    kit.pass(Duration::from_mins(35)).await;
    kit.ask("events", "DisableRule", &json!({ "Name": "tick" })).await;
    kit.pass(Duration::from_mins(60)).await;
    kit.ask("events", "EnableRule", &json!({ "Name": "tick" })).await;
    kit.pass(Duration::from_mins(11)).await;
    let events = logged(&kit).await;
    let times = events.iter().map(|event| event["time"].as_str().unwrap()).collect::<Vec<_>>();
    let expected = ["2026-01-01T00:10:00Z", "2026-01-01T00:20:00Z", "2026-01-01T00:30:00Z", "2026-01-01T01:45:00Z"];
    assert_eq!(times, expected);
    assert_eq!((&events[0]["source"], &events[0]["detail-type"]), (&json!("aws.events"), &json!("Scheduled Event")));
    assert_eq!(events[0]["resources"][0], "arn:aws:events:us-east-1:123456789012:rule/tick");
}

#[tokio::test]
async fn a_day_of_a_rule_passes_in_one_leap_of_the_clock() {
    let kit = Testkit::simulated();
    let target = log_target(&kit).await;
    rule(&kit, "tick", json!({ "ScheduleExpression": "rate(1 hour)" }), target).await;
    kit.advance(Duration::from_hours(24)).await;
    assert_eq!(logged(&kit).await.len(), 24);
}

#[tokio::test]
async fn a_schedule_runs_once_at_a_time_of_its_zone_and_is_gone() {
    let kit = Testkit::simulated();
    let target = scheduled_task(&kit).await;
    let once = json!({
        "ScheduleExpression": "at(2026-01-01T02:00:00)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "ActionAfterCompletion": "DELETE",
        "Target": target,
    });
    schedule(&kit, "once", once).await;
    kit.pass(Duration::from_mins(59)).await;
    assert!(tasks(&kit).await.is_empty());
    assert!(send(&kit, "GET", "/schedules/once", "").await.0.is_success());
    kit.pass(Duration::from_mins(2)).await;
    assert_eq!(tasks(&kit).await, [(3600, "chronos-schedule/once".to_owned())]);
    assert_eq!(send(&kit, "GET", "/schedules/once", "").await.0, 404);
}

#[tokio::test]
async fn a_rate_begins_at_once_or_at_its_start_and_ends_at_its_end() {
    let kit = Testkit::simulated();
    let mut target = log_target(&kit).await;
    let target = target.as_object_mut().unwrap();
    target.remove("Id");
    target.insert("RoleArn".to_owned(), json!(crate::ROLE));
    target.insert("Input".to_owned(), json!(r#"{"at":"<aws.scheduler.scheduled-time>"}"#));
    let start = testkit::START.as_millis() / 1000;
    let when = json!({ "ScheduleExpression": "rate(10 minutes)", "Target": target });
    schedule(&kit, "now", when.clone()).await;
    let mut later = when;
    later["StartDate"] = json!(start + 300);
    later["EndDate"] = json!(start + 1000);
    schedule(&kit, "later", later).await;
    kit.pass(Duration::from_mins(21)).await;
    let times =
        logged(&kit).await.iter().map(|event| event["at"].as_str().unwrap()[11..].to_owned()).collect::<Vec<_>>();
    assert_eq!(times, ["00:00:00Z", "00:05:00Z", "00:10:00Z", "00:15:00Z", "00:20:00Z"]);
}

#[tokio::test]
async fn times_before_a_schedule_was_made_are_none_whenever_it_is_said_to_start() {
    let kit = Testkit::simulated();
    let mut target = log_target(&kit).await;
    let target = target.as_object_mut().unwrap();
    target.remove("Id");
    target.insert("RoleArn".to_owned(), json!(crate::ROLE));
    target.insert("Input".to_owned(), json!(r#"{"at":"<aws.scheduler.scheduled-time>"}"#));
    kit.pass(Duration::from_mins(34)).await;
    let start = testkit::START.as_millis() / 1000 + 30 * 60;
    let when = json!({ "ScheduleExpression": "rate(1 minute)", "StartDate": start, "Target": target });
    schedule(&kit, "late", when).await;
    kit.pass(Duration::from_mins(1)).await;
    let times =
        logged(&kit).await.iter().map(|event| event["at"].as_str().unwrap()[11..].to_owned()).collect::<Vec<_>>();
    assert_eq!(times, ["00:34:00Z", "00:35:00Z"]);
}

#[tokio::test]
async fn a_time_that_comes_once_heeds_neither_start_nor_end() {
    let kit = Testkit::simulated();
    let target = scheduled_task(&kit).await;
    let start = testkit::START.as_millis() / 1000;
    let once = json!({ "ScheduleExpression": "at(2026-01-01T02:00:00)", "Target": target });
    for (name, member, date) in
        [("early", "StartDate", start + 86_400), ("late", "EndDate", start + 60), ("past", "EndDate", start - 60)]
    {
        let mut wanted = once.clone();
        wanted[member] = json!(date);
        schedule(&kit, name, wanted).await;
    }
    kit.pass(Duration::from_mins(121)).await;
    let mut by = tasks(&kit).await;
    by.sort();
    let expected = ["early", "late", "past"].map(|name| (7200, format!("chronos-schedule/{name}")));
    assert_eq!(by, expected);
}

#[tokio::test]
async fn a_schedule_with_a_window_runs_within_it() {
    let kit = Testkit::simulated();
    let target = scheduled_task(&kit).await;
    let wanted = json!({
        "ScheduleExpression": "cron(0 1 * * ? *)",
        "FlexibleTimeWindow": { "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15 },
        "Target": target,
    });
    schedule(&kit, "soft", wanted).await;
    kit.pass(Duration::from_mins(76)).await;
    let seen = tasks(&kit).await;
    assert_eq!(seen.len(), 1);
    assert!((3600..4500).contains(&seen[0].0), "{seen:?}");
}

#[tokio::test]
async fn a_disabled_schedule_does_nothing() {
    let kit = Testkit::simulated();
    let target = scheduled_task(&kit).await;
    let wanted = json!({ "ScheduleExpression": "rate(1 minutes)", "State": "DISABLED", "Target": target });
    schedule(&kit, "off", wanted).await;
    kit.pass(Duration::from_mins(5)).await;
    assert!(tasks(&kit).await.is_empty());
}
