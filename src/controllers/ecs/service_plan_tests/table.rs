//! Tables of plans: a row says what a service is like, `|`, and its tasks as [`members`] reads them; then what is planned.
//!
//! A service is `desired minimum% maximum%` and then words; see [`Row::read`].

use expect_test::{Expect, expect};
use state::ecs::{AlarmWatch, CircuitBreaker, FailureThreshold, ProviderShare, ServiceEvent};

use super::*;

struct Row {
    service: Service,
    ringing: Vec<String>,
    zones: Vec<String>,
    pace: Pace,
}

impl Row {
    /// Reads what a service is like. Words are `name` or `name:value`.
    fn read(text: &str, has_old: bool) -> Self {
        let mut words = text.split_whitespace();
        let mut number = || words.next().unwrap().parse().unwrap();
        let mut service = service(number(), number(), number());
        if !has_old {
            service.deployments.truncate(1);
        }
        let mut row = Self { service, ringing: Vec::new(), zones: Vec::new(), pace: Pace::REAL };
        for word in words {
            let (name, value) = word.split_once(':').unwrap_or((word, ""));
            row.take(name, value);
        }
        row
    }

    fn take(&mut self, name: &str, value: &str) {
        let letters = || value.chars().map(|letter| letter.to_string()).collect::<Vec<_>>();
        let number = || value.parse::<u32>().unwrap();
        let ago = || second(NOW_S - value.parse::<i64>().unwrap());
        let (policy, primary) = (&mut self.service.rollout, &mut self.service.deployments[0]);
        let usual =
            CircuitBreaker { rolls_back: false, threshold: FailureThreshold::default(), resets_on_healthy_task: true };
        match name {
            "draining" => self.service.status = ServiceStatus::Draining,
            "inactive" => self.service.status = ServiceStatus::Inactive,
            "completed" => primary.rollout = RolloutState::Completed,
            "failed" => primary.rollout = RolloutState::Failed { reason: String::new() },
            // It has not begun.
            "new" => primary.ignored_alarms = None,
            "breaker" => policy.circuit_breaker = Some(usual),
            "count" => {
                policy.circuit_breaker = Some(CircuitBreaker { threshold: FailureThreshold::Count(number()), ..usual })
            }
            "percent" => {
                let threshold = FailureThreshold::BoundedPercent(number());
                policy.circuit_breaker = Some(CircuitBreaker { threshold, ..usual });
            }
            "unbounded" => {
                let threshold = FailureThreshold::UnboundedPercent(number());
                policy.circuit_breaker = Some(CircuitBreaker { threshold, ..usual });
            }
            "forever" => policy.circuit_breaker.as_mut().unwrap().resets_on_healthy_task = false,
            // So many had failed a hundred seconds ago.
            "fails" => {
                (primary.tally.failed, primary.tally.failed_at) = (number(), Some(second(NOW_S - 100)));
            }
            "unstarted" => {
                (primary.tally.unstarted, primary.tally.unstarted_at) = (number(), Some(second(NOW_S - 100)));
            }
            "counted" => primary.tally.counted = value.split('+').map(TaskId::new).collect(),
            "since" => primary.updated_at = ago(),
            "grace" => self.service.health_check_grace_period_s = Some(number()),
            "alarms" => policy.alarms = Some(AlarmWatch { names: letters(), rolls_back: true }),
            "ringing" => self.ringing = letters(),
            "ignored" => primary.ignored_alarms = Some(letters()),
            "bake" => policy.bake_time_min = number(),
            "baking" => primary.baking_since = Some(ago()),
            "zones" => self.zones = letters(),
            "even" => self.service.rebalances_zones = true,
            // The providers `f` and `s`, as `base/weight` each.
            "shares" => primary.workload.capacity = capacity(value),
            "pace" => self.pace = value.parse().unwrap(),
            // What it said so many seconds ago; the last word is the newest.
            "said-steady" => self.say(event::STEADY, ago()),
            "said-failing" => self.say(&Obstacle::KeepsFailing.words(), ago()),
            "said-stuck" => self.say(&Obstacle::Percentages.words(), ago()),
            "said-something" => self.say("did something.", ago()),
            other => panic!("{other}"),
        }
    }

    fn say(&mut self, what: &str, at: Timestamp) {
        let message = event::message(&self.service, what);
        self.service.add_event(ServiceEvent { id: String::new(), at, message });
    }
}

fn capacity(shares: &str) -> ServiceCapacity {
    let share = |(provider, share): (&str, &str)| {
        let (base, weight) = share.split_once('/').unwrap();
        let (base, weight) = (base.parse().unwrap(), weight.parse().unwrap());
        ProviderShare { provider: provider.to_owned(), base, weight }
    };
    let strategy = ["f", "s"].into_iter().zip(shares.split(',')).map(share).collect();
    ServiceCapacity::Providers { strategy, launch_type: LaunchType::Fargate }
}

/// Plans each row of `table` anew and compares. A new row is written without a plan, which `UPDATE_EXPECT=1` fills in.
#[track_caller]
fn check(table: Expect) {
    let rows = table.data().lines().map(|row| row.split('→').next().unwrap_or_default().trim());
    let rows = rows.filter(|row| !row.is_empty()).collect::<Vec<_>>();
    let width = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
    let mut found = String::new();
    for text in rows {
        let (words, tasks) = text.split_once('|').expect(text);
        let members = members(tasks);
        let is_old = |member: &Member| member.revision.as_str() == "o";
        let has_old = members.iter().any(is_old) || words.contains(" old ");
        let row = Row::read(&words.replace(" old ", " "), has_old);
        let planned =
            plan(&Known { alarms: &row.ringing, zones: &row.zones, pace: row.pace, ..known(&row.service, &members) });
        found += format!("{text:width$} → {}", shown(&planned)).trim_end();
        found.push('\n');
    }
    table.assert_eq(&found);
}

#[test]
fn as_many_tasks_as_are_desired_are_kept() {
    check(expect![[r#"
        0 100 200 |                   → complete, steady
        1 100 200 |                   → start 1 of n
        5 100 200 |                   → start 5 of n
        2 100 200 | np                → start 1 of n
        2 100 200 | np np             →
        2 100 200 | nr np             → look in 30
        2 100 200 | nr nh             → look in 30
        2 100 200 | nh nh             → complete, steady
        2 100 200 completed | nh nh   → steady
        2 100 200 completed | nh      → start 1 of n
        2 100 200 completed | nh ns   → start 1 of n
        2 100 200 completed | nh nz   → start 1 of n
        2 100 200 completed | nh nt   → start 1 of n
        2 100 200 completed | nh ni   → start 1 of n
        2 100 200 completed | nh ne   → count 0 failed 0 unstarted, look in 8
        2 100 200 completed | nt ni   → start 2 of n
        3 100 100 completed | nh nh   → start 1 of n
        3 50 100 completed | nh nh nz →
        3 50 100 completed | nh nh ns → start 1 of n
        1 0 100 |                     → start 1 of n
        4 100 100 | nh np             → start 2 of n
        200 100 200 | np*190          → start 10 of n
        2 100 200 pace:10 | nr nh     → complete, steady
        2 100 200 pace:4 | nr nh      → complete, steady
        2 100 200 pace:3 | nr nh      → look in 3
    "#]]);
}

#[test]
fn those_that_are_too_many_are_stopped() {
    check(expect![[r#"
        1 100 200 | nh nh nh                    → stop 1+2 of n
        1 100 200 | nh np nh                    → stop 2+1 of n
        1 100 200 | np np                       → stop 1 of n
        1 100 200 | nr nr                       → stop 1 of n, look in 30
        1 100 200 | nh nr                       → stop 2 of n, look in 30
        1 100 200 | nr nh                       → stop 1 of n, look in 30
        0 100 200 | nh                          → stop 1 of n
        0 100 200 | nh np nr                    → stop 2+1+3 of n, look in 30
        0 100 200 | ns                          → complete, steady
        0 100 200 | nz                          → complete, steady
        1 100 200 | nh! nh                      → stop 2 of n, look in 60
        1 100 200 | nh! nh!                     → too many protected of n, look in 60
        2 100 200 | nh! nh!                     → complete, steady
        1 100 200 | nh! nh! nh                  → too many protected of n, stop 3 of n, look in 60
        0 100 200 | nh!                         → too many protected of n, look in 60
        0 100 200 | nh! nh                      → too many protected of n, stop 2 of n, look in 60
        2 100 200 completed | nh*4              → stop 1+2 of n
        2 50 200 completed | nh*4               → stop 1+2 of n
        2 0 100 completed | nh*4                → stop 1+2 of n
        3 100 200 completed | nh np np np       → stop 2 of n
        2 100 200 completed grace:60 | nu ng ng → stop 1 of n, look in 20
    "#]]);
}

#[test]
fn the_richest_zone_loses_tasks_first() {
    check(expect![[r#"
        2 100 200 zones:ab | nh@a nh@a nh@b                 → stop 1 of n
        2 100 200 zones:ab | nh@b nh@a nh@b                 → stop 1 of n
        1 100 200 zones:ab | nh@a nh@b nh@b                 → stop 2+1 of n
        2 100 200 zones:abc | nh@a nh@b nh@b nh@c nh@c nh@c → stop 4+2+5+1 of n
        3 100 200 zones:abc | nh@a nh@b nh@b nh@c nh@c nh@c → stop 4+2+5 of n
        0 100 200 zones:ab | nh@a nh@b nh@b                 → stop 2+1+3 of n
        2 100 200 zones:ab | nh@a nh@b np@b nh@b            → stop 3+2 of n
        2 100 200 zones:ab | nh@a np@a nh@b nh@b            → stop 2+3 of n
        1 100 200 zones:ab | nh@a! nh@a nh@b                → stop 2+3 of n, look in 60
        1 100 200 zones:ab | nh@a! nh@a! nh@b               → too many protected of n, stop 3 of n, look in 60
        2 100 200 | nh@a nh@b nh@b                          → stop 2 of n
    "#]]);
}

#[test]
fn the_provider_furthest_over_its_share_loses_tasks_first() {
    check(expect![[r#"
        2 100 200 shares:1/0,0/1 | nh%f nh%s nh%s                       → stop 2 of n
        1 100 200 shares:1/0,0/1 | nh%f nh%s nh%s                       → stop 2+3 of n
        2 100 200 shares:0/1,0/1 | nh%f nh%f nh%f nh%s                  → stop 1+2 of n
        4 100 200 shares:0/1,0/3 | nh%f*4 nh%s*4                        → stop 1+2+3+5 of n
        2 100 200 shares:0/1,0/1 | nh%f nh%f nh%s nh%s                  → stop 1+3 of n
        3 100 200 shares:2/1,0/4 | nh%f*3 nh%s*3                        → stop 4+1+5 of n
        2 100 200 shares:0/1,0/1 zones:ab | nh%f@a nh%f@b nh%s@b nh%f@b → stop 2+4 of n
        0 100 200 shares:1/0,0/1 | nh%f nh%s                            → stop 1+2 of n
        2 100 200 shares:1/0,0/1 | nh nh nh%s                           → stop 1 of n
    "#]]);
}

#[test]
fn a_rollout_starts_first_where_it_may() {
    check(expect![[r#"
        1 100 200 | oh          → start 1 of n
        1 100 200 | oh np       →
        1 100 200 | oh nr       → look in 30
        1 100 200 | oh nh       → stop 1 of o
        1 100 200 | os nh       → drop o, complete, steady
        1 100 200 | oz nh       →
        2 100 200 | oh oh       → start 2 of n
        2 100 200 | oh oh np np →
        2 100 200 | oh oh np nr → look in 30
        2 100 200 | oh oh nr nr → look in 30
        2 100 200 | oh oh nh nr → stop 1 of o, look in 30
        2 100 200 | oh oh nh np → stop 1 of o
        2 100 200 | oh oh nh nh → stop 1+2 of o
        2 100 200 | os oh nh nh → stop 2 of o
        2 100 200 | os os nh nh → drop o, complete, steady
        2 100 200 | oh nh nh    → stop 1 of o
        2 100 200 | oh nh       → start 1 of n
        2 100 200 | oh np       → start 1 of n
        2 100 200 | oh oh nh    → start 1 of n, stop 1 of o
        2 100 200 | oh ot       → start 2 of n
        2 100 200 old | nh nh   → drop o, complete, steady
        2 100 200 old |         → start 2 of n, drop o
        3 100 150 | oh*3        → start 1 of n
        3 100 150 | oh*3 np     →
        3 100 150 | oh*3 nh     → stop 1 of o
        3 100 150 | oh*2 nh     → start 1 of n
        3 100 150 | oh*2 nh nr  → look in 30
        3 100 150 | oh*2 nh*2   → stop 1 of o
        3 100 150 | oh nh*2     → start 1 of n
        3 100 150 | oh nh*3     → stop 1 of o
        4 100 125 | oh*4        → start 1 of n
        4 100 125 | oh*4 nh     → stop 1 of o
        4 100 125 | oh*3 oz nh  →
        10 100 110 | oh*10      → start 1 of n
        10 100 110 | oh*10 nh   → stop 1 of o
        5 100 120 | oh*5        → start 1 of n
        5 100 119 | oh*5        → Percentages
    "#]]);
}

#[test]
fn a_rollout_stops_first_where_it_must() {
    check(expect![[r#"
        1 0 100 | oh          → stop 1 of o
        1 0 100 | os          → start 1 of n, drop o
        1 0 100 | oz          →
        1 0 100 | oz nh       →
        2 50 100 | oh oh      → stop 1 of o
        2 50 100 | oh oz      →
        2 50 100 | oh os      → start 1 of n
        2 50 100 | oh np      →
        2 50 100 | oh nr      → look in 30
        2 50 100 | oh nh      → stop 1 of o
        2 50 100 | os nh      → start 1 of n, drop o
        3 50 100 | oh*3       → stop 1 of o
        3 34 100 | oh*3       → stop 1 of o
        3 33 100 | oh*3       → stop 1+2 of o
        4 50 100 | oh*4       → stop 1+2 of o
        4 50 100 | oh*2 np*2  →
        4 50 100 | oh*2 nh*2  → stop 1+2 of o
        4 50 100 | oh*2 nh np → stop 1 of o
        4 75 100 | oh*4       → stop 1 of o
        4 75 100 | oh*3 nr    → look in 30
        4 75 100 | oh*3 nh    → stop 1 of o
        10 90 100 | oh*10     → stop 1 of o
        2 0 100 | oh oh       → stop 1+2 of o
        2 0 200 | oh oh       → start 2 of n, stop 1+2 of o
    "#]]);
}

#[test]
fn a_rollout_does_both_where_it_may() {
    check(expect![[r#"
        4 50 200 | oh*4            → start 4 of n, stop 1+2 of o
        4 50 150 | oh*4            → start 2 of n, stop 1+2 of o
        4 50 150 | oh*2 np*4       →
        4 50 150 | oh*2 nh*4       → stop 1+2 of o
        3 10 150 | oh*3            → start 1 of n, stop 1+2 of o
        10 50 150 | oh*10          → start 5 of n, stop 1+2+3+4+5 of o
        10 50 150 | oh*5 np*5      → start 5 of n
        10 50 150 | oh*5 nh*2 np*3 → start 5 of n, stop 1+2 of o
        10 90 110 | oh*10          → start 1 of n, stop 1 of o
        10 90 110 | oh*9 np        → start 1 of n
        10 90 110 | oh*9 nh np     → stop 1 of o
        5 40 160 | oh*5            → start 3 of n, stop 1+2+3 of o
    "#]]);
}

#[test]
fn bounds_that_leave_no_way_are_said() {
    check(expect![[r#"
        1 100 150 | oh                                  → Percentages
        1 100 199 | oh                                  → Percentages
        1 100 150 | or                                  → look in 30
        1 100 150 | op                                  → stop 1 of o
        1 100 150 | oh!                                 → look in 60
        1 100 150 said-stuck:60 | oh                    →
        1 100 150 said-stuck:60 since:30 | oh           → Percentages
        1 100 150 said-stuck:900 said-something:60 | oh →
        1 51 150 | oh                                   → Percentages
        2 100 149 | oh oh                               → Percentages
        2 51 100 | oh oh                                → Percentages
        3 67 100 | oh*3                                 → Percentages
        3 66 100 | oh*3                                 → stop 1 of o
    "#]]);
}

#[test]
fn what_serves_goes_last() {
    check(expect![[r#"
        2 100 200 | or op         → start 2 of n, stop 2 of o, look in 30
        2 100 200 | op op         → start 2 of n, stop 1+2 of o
        2 100 200 | or or         → start 2 of n, look in 30
        2 100 200 | or or np np   → look in 30
        2 100 200 | or or nr nr   → look in 30
        2 100 200 | or or nh nr   → stop 1 of o, look in 30
        2 100 200 | or or nh nh   → stop 1+2 of o, look in 30
        2 100 200 | oh or nh      → start 1 of n, stop 2 of o, look in 30
        2 100 200 | oh or nh nr   → stop 2 of o, look in 30
        2 50 200 | or oh np       → start 1 of n, stop 1 of o, look in 30
        2 50 200 | oh or op       → start 1 of n, stop 3+2 of o, look in 30
        1 100 200 | ou nc         → stop 1 of o
        1 100 200 | og nc         →
        1 100 200 | og ng         → stop 1 of o
        1 100 200 | ou og nc      → stop 1 of o
        3 50 100 | ou og og       → stop 1 of o
        3 50 100 | oc og og       → stop 1 of o
        2 100 200 | oh! oh nh nh  → too many protected of o, stop 2 of o, look in 60
        2 100 200 | oh! oh! nh nh → too many protected of o, look in 60
        2 100 200 | oh! nh nh     → too many protected of o, look in 60
        2 100 200 | oh! np nh     → look in 60
        2 100 200 | op! nh nh     → too many protected of o, look in 60
    "#]]);
}

#[test]
fn health_checks_say_who_counts_and_who_is_replaced() {
    check(expect![[r#"
        1 100 200 | ng                    → complete, steady
        1 100 200 | nc                    →
        1 100 200 completed | nu          → start 1 of n
        1 100 200 completed | nu np       →
        1 100 200 completed | nu nc       →
        1 100 200 completed | nu ng       → replace 1
        2 100 200 completed | nu nu       → start 2 of n
        2 100 200 completed | nu nu ng ng → replace 1+2
        2 100 200 completed | nu ng       → start 1 of n
        2 100 200 completed | nu ng np    →
        2 100 200 completed | nu ng ng    → replace 1
        2 100 150 completed | nu ng       → start 1 of n
        2 100 150 completed | nu ng nc    →
        2 100 150 completed | nu nu       → start 1 of n
        2 50 100 completed | nu nu        → replace 1
        2 50 100 completed | ns nu        → start 1 of n
        2 50 100 completed | nu np        →
        2 50 100 completed | nu nc        →
        2 50 100 completed | nu ng        → replace 1
        2 100 100 completed | nu ng       → replace 1
        1 100 200 grace:60 | nu           → look in 20
        1 100 200 grace:40 | nu           → start 1 of n
        1 100 200 grace:41 | nu           → look in 1
        1 100 200 grace:60 pace:2 | nu    → start 1 of n
        1 100 200 completed grace:60 | nu → look in 20
        2 100 200 | og og nu nu           → replace 3
        2 100 150 | og og nu              → replace 3
        2 100 150 | og og nc              →
    "#]]);
}

#[test]
fn what_never_ran_is_tried_again_ever_more_slowly() {
    check(expect![[r#"
        1 100 200 | nf                             → count 1 failed 1 unstarted, look in 4
        1 100 200 | nf nf                          → count 2 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 | nf nf nf                       → count 3 failed 3 unstarted, KeepsFailing, look in 19
        1 100 200 | nf*6                           → count 6 failed 6 unstarted, KeepsFailing, look in 159
        1 100 200 | nf*9                           → count 9 failed 9 unstarted, KeepsFailing, look in 1279
        1 100 200 | nf*10                          → count 10 failed 10 unstarted, KeepsFailing, look in 1619
        1 100 200 | nf*20                          → count 20 failed 20 unstarted, KeepsFailing, look in 1619
        2 100 200 | nf nf                          → count 2 failed 2 unstarted, look in 4
        2 100 200 | nf nf nf                       → count 3 failed 3 unstarted, KeepsFailing, look in 9
        2 100 200 | nf nf np                       → count 2 failed 2 unstarted, look in 4
        5 100 200 | nf*5                           → count 5 failed 5 unstarted, look in 4
        5 100 200 | nf*6                           → count 6 failed 6 unstarted, KeepsFailing, look in 9
        1 100 200 pace:100 | nf*20                 → count 20 failed 20 unstarted, KeepsFailing, look in 15
        1 100 200 unstarted:1 |                    → start 1 of n
        1 100 200 unstarted:5 |                    → KeepsFailing, start 1 of n
        1 100 200 unstarted:6 |                    → KeepsFailing, look in 60
        1 100 200 unstarted:30 |                   → KeepsFailing, look in 1520
        1 100 200 unstarted:2 counted:1+2 | nf nf  → KeepsFailing, start 1 of n
        1 100 200 unstarted:2 counted:1 | nf nf    → count 1 failed 3 unstarted, KeepsFailing, look in 19
        1 100 200 unstarted:2 counted:7+8 | nf     → count 1 failed 3 unstarted, KeepsFailing, look in 19
        1 100 200 unstarted:30 | nt                → KeepsFailing, look in 1520
        1 100 200 unstarted:30 | ns                → count 0 failed 0 unstarted, start 1 of n
        1 100 200 unstarted:30 | ne                → count 1 failed 0 unstarted, look in 8
        1 100 200 completed unstarted:3 | nf       → count 0 failed 4 unstarted, KeepsFailing, look in 39
        1 100 200 completed | nh nf                → count 0 failed 1 unstarted, steady
        2 100 200 completed | nh nf                → count 0 failed 1 unstarted, look in 4
        2 100 200 completed | nh nf nf nf          → count 0 failed 3 unstarted, KeepsFailing, look in 9
        1 100 200 said-failing:60 | nf nf          → count 2 failed 2 unstarted, look in 9
        1 100 200 said-failing:60 since:30 | nf nf → count 2 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 | ne                             → count 1 failed 0 unstarted, look in 8
        1 100 200 pace:10 | ne                     → count 1 failed 0 unstarted, start 1 of n
        1 100 200 | nf nf ne                       → count 3 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 | nt                             → start 1 of n
        1 100 200 | ni                             → start 1 of n
        1 100 200 | of of of                       → start 1 of n, drop o
    "#]]);
}

#[test]
fn the_circuit_breaker_counts_what_failed_in_a_row() {
    check(expect![[r#"
        1 100 200 breaker | nf                         → count 1 failed 1 unstarted, look in 4
        1 100 200 breaker | nf nf                      → count 2 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 breaker | nf nf nf                   → count 3 failed 3 unstarted, give up
        1 100 200 breaker | ne ne                      → count 2 failed 0 unstarted, look in 8
        1 100 200 breaker | ne ne ne                   → count 3 failed 0 unstarted, give up
        1 100 200 breaker | nx nx nx                   → count 3 failed 0 unstarted, give up
        1 100 200 breaker | nf ne nx                   → count 3 failed 1 unstarted, give up
        1 100 200 breaker | nf nf nt                   → count 2 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 breaker | nf nf ni ns                → count 2 failed 2 unstarted, KeepsFailing, look in 9
        1 100 200 breaker | of of of nf                → count 1 failed 1 unstarted, look in 4, drop o
        1 100 200 breaker fails:2 | nf                 → count 3 failed 1 unstarted, give up
        1 100 200 breaker fails:2 counted:1 | nf       → start 1 of n
        1 100 200 breaker fails:2 | nh                 → count 0 failed 0 unstarted, complete, steady
        1 100 200 breaker fails:2 | nr                 → look in 30
        1 100 200 breaker fails:2 | ng                 → count 0 failed 0 unstarted, complete, steady
        1 100 200 breaker fails:2 forever | nh         → complete, steady
        2 100 200 breaker fails:2 | nh nf              → count 0 failed 1 unstarted, look in 4
        2 100 200 breaker fails:2 forever | nh nf      → count 3 failed 1 unstarted, give up
        2 100 200 breaker fails:1 | nh nf              → count 0 failed 1 unstarted, look in 4
        6 100 200 breaker fails:2 | nf                 → count 3 failed 1 unstarted, give up
        7 100 200 breaker fails:2 | nf                 → count 3 failed 1 unstarted, look in 4
        7 100 200 breaker fails:3 | nf                 → count 4 failed 1 unstarted, give up
        25 100 200 breaker fails:11 | nf               → count 12 failed 1 unstarted, look in 4
        25 100 200 breaker fails:12 | nf               → count 13 failed 1 unstarted, give up
        400 100 200 breaker fails:198 | nf             → count 199 failed 1 unstarted, look in 4
        400 100 200 breaker fails:199 | nf             → count 200 failed 1 unstarted, give up
        1000 100 200 breaker fails:199 | nf            → count 200 failed 1 unstarted, give up
        1 100 200 count:1 | nf                         → count 1 failed 1 unstarted, give up
        1 100 200 count:5 fails:3 | nf                 → count 4 failed 1 unstarted, look in 4
        1 100 200 count:5 fails:4 | nf                 → count 5 failed 1 unstarted, give up
        10 100 200 percent:100 fails:8 | nf            → count 9 failed 1 unstarted, look in 4
        10 100 200 percent:100 fails:9 | nf            → count 10 failed 1 unstarted, give up
        1 100 200 unbounded:50 | nf                    → count 1 failed 1 unstarted, give up
        5 100 200 unbounded:50 fails:1 | nf            → count 2 failed 1 unstarted, look in 4
        5 100 200 unbounded:50 fails:2 | nf            → count 3 failed 1 unstarted, give up
        1 100 200 breaker completed | nf nf nf         → count 0 failed 3 unstarted, KeepsFailing, look in 19
        1 100 200 breaker completed fails:0 | ne ne ne → count 0 failed 0 unstarted, look in 8
        1 100 200 fails:50 | nf                        → count 51 failed 1 unstarted, look in 4
        1 100 200 breaker since:0 | nf nf nf           → start 1 of n
        2 100 200 breaker new fails:2 | nf             → count 3 failed 1 unstarted, begin but for [], give up
        2 100 200 breaker | oh oh nf nf nf             → count 3 failed 3 unstarted, give up
    "#]]);
}

#[test]
fn alarms_give_a_deployment_up() {
    check(expect![[r#"
        1 100 200 new |                                      → begin but for [], start 1 of n
        1 100 200 new alarms:ab ringing:a |                  → begin but for [a], start 1 of n
        1 100 200 alarms:ab |                                → start 1 of n
        1 100 200 alarms:ab ringing:a | np                   → give up for a
        1 100 200 alarms:ab ringing:ab | nh                  → give up for a b
        1 100 200 alarms:ab ringing:a ignored:a | np         →
        1 100 200 alarms:ab ringing:ab ignored:a | np        → give up for b
        1 100 200 completed alarms:ab ringing:a | nh         → steady
        1 100 200 failed alarms:ab ringing:a | nh            →
        1 100 200 alarms:ab bake:10 | nh                     → bake, look in 600
        1 100 200 alarms:ab bake:10 baking:60 | nh           → look in 540
        1 100 200 alarms:ab bake:10 baking:599 | nh          → look in 1
        1 100 200 alarms:ab bake:10 baking:600 | nh          → complete, steady
        1 100 200 alarms:ab bake:10 baking:60 ringing:b | nh → give up for b
        1 100 200 alarms:ab bake:10 baking:60 pace:10 | nh   → complete, steady
        1 100 200 alarms:ab bake:10 baking:60 | np           →
        1 100 200 alarms:ab bake:10 | oh nh                  → stop 1 of o
        1 100 200 bake:10 | nh                               → complete, steady
    "#]]);
}

#[test]
fn what_was_given_up_is_left_but_for_what_is_too_much() {
    check(expect![[r#"
        2 100 200 failed |                    →
        2 100 200 failed | nr                 →
        2 100 200 failed | nf nf              →
        2 100 200 failed | oh oh              →
        2 100 200 failed | oh oh np np        →
        2 100 200 failed | os os nr           → drop o
        0 100 200 failed | oh np              → stop 2 of n, stop 1 of o
        0 100 200 failed | oh!                →
        1 100 100 failed | oh np nh           → stop 2+3 of n
        1 100 200 failed | oh oh np np        → stop 3+4 of n
        2 100 200 failed old |                → drop o
        2 100 200 failed breaker fails:9 | nf →
    "#]]);
}

#[test]
fn tasks_move_to_a_poorer_zone_one_by_one() {
    check(expect![[r#"
        2 100 200 completed even zones:ab | nh@a nh@b                → steady
        2 100 200 completed even zones:ab | nh@a nh@a                → uneven a2b0, start 1 of n
        3 100 200 completed even zones:ab | nh@a nh@a nh@b           → steady
        4 100 200 completed even zones:ab | nh@a*3 nh@b              → uneven a3b1, start 1 of n
        4 100 200 completed even zones:ab | nh@a*3 nh@b nr@b         → look in 30
        4 100 200 completed even zones:ab | nh@a*3 nh@b np@b         →
        4 100 200 completed even zones:ab | nh@a*3 nh@b nh@b         → stop 1 of n
        4 100 200 completed even zones:ab | nh@a*2 nh@b nh@b         → steady
        3 100 200 completed even zones:abc | nh@a*3                  → uneven a3b0c0, start 1 of n
        3 100 200 completed even zones:abc | nh@a*3 nr@b             → look in 30
        3 50 200 completed even zones:abc | nh@a*3 nr@b              → stop 1 of n, look in 30
        2 100 100 completed even zones:ab | nh@a nh@a                → steady
        2 100 200 completed zones:ab | nh@a nh@a                     → steady
        2 100 200 even zones:ab | nh@a nh@a                          → complete, steady
        2 100 200 completed even zones:ab | nh@a nr@a                → look in 30
        2 100 200 completed even zones:ab | nh@a! nh@a!              → steady
        2 100 200 completed even zones:ab | nh@a! nh@a               → uneven a2b0, start 1 of n
        2 100 200 completed even zones:a | nh@a nh@a                 → steady
        2 100 200 completed even zones:ab unstarted:1 | nh@a nh@a nf → count 0 failed 1 unstarted, look in 4, steady
        2 100 200 completed even zones:ab | oh@a nh@a nh@a           → stop 1 of o
        2 100 200 completed even zones:ab | nh@c nh@c                → steady
    "#]]);
}

#[test]
fn tasks_whose_instances_are_emptied_are_replaced_within_the_bounds() {
    check(expect![[r#"
        2 100 200 | nh lh    → start 1 of n
        2 100 200 | nh nr lh → look in 30
        2 100 200 | nh nh lh → stop 3 of n
        2 50 100 | nh lh     → stop 2 of n
        2 100 100 | nh lh    → Percentages
        2 100 200 | lh lh    → start 2 of n
        2 100 200 | nh lp    → start 1 of n, stop 2 of n
    "#]]);
}

#[test]
fn a_service_says_once_in_six_hours_that_it_is_steady() {
    check(expect![[r#"
        1 100 200 completed said-steady:60 | nh                   → look in 21540
        1 100 200 completed said-steady:21599 | nh                → look in 1
        1 100 200 completed said-steady:21600 | nh                → steady
        1 100 200 completed said-steady:60 said-something:50 | nh → steady
        1 100 200 said-steady:60 | nh                             → complete, steady
        1 100 200 completed said-steady:60 | nr                   → look in 30
        1 100 200 completed said-steady:60 | nh ne                → count 0 failed 0 unstarted, steady
        0 100 200 completed said-steady:60 |                      → look in 21540
    "#]]);
}

#[test]
fn a_deleted_service_is_inactive_when_its_tasks_are_stopping() {
    check(expect![[r#"
        0 100 200 draining | nh oh              → stop 1 of n, stop 2 of o
        0 100 200 draining | nh! np             → stop 1+2 of n
        0 100 200 draining | nz                 →
        0 100 200 draining | ns nf              → inactivate
        0 100 200 draining |                    → inactivate
        0 100 200 draining breaker fails:9 | nf → inactivate
        0 100 200 inactive | nh                 →
    "#]]);
}
