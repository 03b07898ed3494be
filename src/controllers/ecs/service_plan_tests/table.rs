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

/// Plans each row and compares all of them at once.
#[track_caller]
fn check(rows: &[&str], expected: Expect) {
    let width = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
    let mut found = String::new();
    for text in rows {
        let (words, tasks) = text.split_once('|').unwrap();
        let members = members(tasks);
        let has_old = members.iter().any(|member| member.revision.as_str() == "o");
        let row = Row::read(words.trim_end_matches("old "), has_old || words.ends_with("old "));
        let planned = plan(&Known {
            alarms: &row.ringing,
            zones: &row.zones,
            pace: row.pace,
            ..known(&row.service, &members)
        });
        found += format!("{text:width$} → {}", shown(&planned)).trim_end();
        found.push('\n');
    }
    expected.assert_eq(&found);
}

#[test]
fn as_many_tasks_as_are_desired_are_kept() {
    check(
        &[
            "0 100 200 | ",
            "1 100 200 | ",
            "5 100 200 | ",
            "2 100 200 | np",
            "2 100 200 | np np",
            "2 100 200 | nr np",
            "2 100 200 | nr nh",
            "2 100 200 | nh nh",
            "2 100 200 completed | nh nh",
            "2 100 200 completed | nh",
            "2 100 200 completed | nh ns",
            "2 100 200 completed | nh nz",
            "2 100 200 completed | nh nt",
            "2 100 200 completed | nh ni",
            "2 100 200 completed | nh ne",
            "2 100 200 completed | nt ni",
            "3 100 100 completed | nh nh",
            "3 50 100 completed | nh nh nz",
            "3 50 100 completed | nh nh ns",
            "1 0 100 | ",
            "4 100 100 | nh np",
            "200 100 200 | np*190",
            "2 100 200 pace:10 | nr nh",
            "2 100 200 pace:4 | nr nh",
            "2 100 200 pace:3 | nr nh",
        ],
        expect![[""]],
    );
}

#[test]
fn those_that_are_too_many_are_stopped() {
    check(
        &[
            "1 100 200 | nh nh nh",
            "1 100 200 | nh np nh",
            "1 100 200 | np np",
            "1 100 200 | nr nr",
            "1 100 200 | nh nr",
            "1 100 200 | nr nh",
            "0 100 200 | nh",
            "0 100 200 | nh np nr",
            "0 100 200 | ns",
            "0 100 200 | nz",
            "1 100 200 | nh! nh",
            "1 100 200 | nh! nh!",
            "2 100 200 | nh! nh!",
            "1 100 200 | nh! nh! nh",
            "0 100 200 | nh!",
            "0 100 200 | nh! nh",
            "2 100 200 completed | nh*4",
            "2 50 200 completed | nh*4",
            "2 0 100 completed | nh*4",
            "3 100 200 completed | nh np np np",
            "2 100 200 completed grace:60 | nu ng ng",
        ],
        expect![[""]],
    );
}

#[test]
fn the_richest_zone_loses_tasks_first() {
    check(
        &[
            "2 100 200 zones:ab | nh@a nh@a nh@b",
            "2 100 200 zones:ab | nh@b nh@a nh@b",
            "1 100 200 zones:ab | nh@a nh@b nh@b",
            "2 100 200 zones:abc | nh@a nh@b nh@b nh@c nh@c nh@c",
            "3 100 200 zones:abc | nh@a nh@b nh@b nh@c nh@c nh@c",
            "0 100 200 zones:ab | nh@a nh@b nh@b",
            "2 100 200 zones:ab | nh@a nh@b np@b nh@b",
            "2 100 200 zones:ab | nh@a np@a nh@b nh@b",
            "1 100 200 zones:ab | nh@a! nh@a nh@b",
            "1 100 200 zones:ab | nh@a! nh@a! nh@b",
            "2 100 200 | nh@a nh@b nh@b",
        ],
        expect![[""]],
    );
}

#[test]
fn the_provider_furthest_over_its_share_loses_tasks_first() {
    check(
        &[
            "2 100 200 shares:1/0,0/1 | nh%f nh%s nh%s",
            "1 100 200 shares:1/0,0/1 | nh%f nh%s nh%s",
            "2 100 200 shares:0/1,0/1 | nh%f nh%f nh%f nh%s",
            "4 100 200 shares:0/1,0/3 | nh%f*4 nh%s*4",
            "2 100 200 shares:0/1,0/1 | nh%f nh%f nh%s nh%s",
            "3 100 200 shares:2/1,0/4 | nh%f*3 nh%s*3",
            "2 100 200 shares:0/1,0/1 zones:ab | nh%f@a nh%f@b nh%s@b nh%f@b",
            "0 100 200 shares:1/0,0/1 | nh%f nh%s",
            "2 100 200 shares:1/0,0/1 | nh nh nh%s",
        ],
        expect![[""]],
    );
}

#[test]
fn a_rollout_starts_first_where_it_may() {
    check(
        &[
            "1 100 200 | oh",
            "1 100 200 | oh np",
            "1 100 200 | oh nr",
            "1 100 200 | oh nh",
            "1 100 200 | os nh",
            "1 100 200 | oz nh",
            "2 100 200 | oh oh",
            "2 100 200 | oh oh np np",
            "2 100 200 | oh oh np nr",
            "2 100 200 | oh oh nr nr",
            "2 100 200 | oh oh nh nr",
            "2 100 200 | oh oh nh np",
            "2 100 200 | oh oh nh nh",
            "2 100 200 | os oh nh nh",
            "2 100 200 | os os nh nh",
            "2 100 200 | oh nh nh",
            "2 100 200 | oh nh",
            "2 100 200 | oh np",
            "2 100 200 | oh oh nh",
            "2 100 200 | oh ot",
            "2 100 200 old | nh nh",
            "2 100 200 old | ",
            "3 100 150 | oh*3",
            "3 100 150 | oh*3 np",
            "3 100 150 | oh*3 nh",
            "3 100 150 | oh*2 nh",
            "3 100 150 | oh*2 nh nr",
            "3 100 150 | oh*2 nh*2",
            "3 100 150 | oh nh*2",
            "3 100 150 | oh nh*3",
            "4 100 125 | oh*4",
            "4 100 125 | oh*4 nh",
            "4 100 125 | oh*3 oz nh",
            "10 100 110 | oh*10",
            "10 100 110 | oh*10 nh",
            "5 100 120 | oh*5",
            "5 100 119 | oh*5",
        ],
        expect![[""]],
    );
}

#[test]
fn a_rollout_stops_first_where_it_must() {
    check(
        &[
            "1 0 100 | oh",
            "1 0 100 | os",
            "1 0 100 | oz",
            "1 0 100 | oz nh",
            "2 50 100 | oh oh",
            "2 50 100 | oh oz",
            "2 50 100 | oh os",
            "2 50 100 | oh np",
            "2 50 100 | oh nr",
            "2 50 100 | oh nh",
            "2 50 100 | os nh",
            "3 50 100 | oh*3",
            "3 34 100 | oh*3",
            "3 33 100 | oh*3",
            "4 50 100 | oh*4",
            "4 50 100 | oh*2 np*2",
            "4 50 100 | oh*2 nh*2",
            "4 50 100 | oh*2 nh np",
            "4 75 100 | oh*4",
            "4 75 100 | oh*3 nr",
            "4 75 100 | oh*3 nh",
            "10 90 100 | oh*10",
            "2 0 100 | oh oh",
            "2 0 200 | oh oh",
        ],
        expect![[""]],
    );
}

#[test]
fn a_rollout_does_both_where_it_may() {
    check(
        &[
            "4 50 200 | oh*4",
            "4 50 150 | oh*4",
            "4 50 150 | oh*2 np*4",
            "4 50 150 | oh*2 nh*4",
            "3 10 150 | oh*3",
            "10 50 150 | oh*10",
            "10 50 150 | oh*5 np*5",
            "10 50 150 | oh*5 nh*2 np*3",
            "10 90 110 | oh*10",
            "10 90 110 | oh*9 np",
            "10 90 110 | oh*9 nh np",
            "5 40 160 | oh*5",
        ],
        expect![[""]],
    );
}

#[test]
fn bounds_that_leave_no_way_are_said() {
    check(
        &[
            "1 100 150 | oh",
            "1 100 199 | oh",
            "1 100 150 | or",
            "1 100 150 | op",
            "1 100 150 | oh!",
            "1 100 150 said-stuck:60 | oh",
            "1 100 150 said-stuck:60 since:30 | oh",
            "1 100 150 said-stuck:900 said-something:60 | oh",
            "1 51 150 | oh",
            "2 100 149 | oh oh",
            "2 51 100 | oh oh",
            "3 67 100 | oh*3",
            "3 66 100 | oh*3",
        ],
        expect![[""]],
    );
}

#[test]
fn what_serves_goes_last() {
    check(
        &[
            "2 100 200 | or op",
            "2 100 200 | op op",
            "2 100 200 | or or",
            "2 100 200 | or or np np",
            "2 100 200 | or or nr nr",
            "2 100 200 | or or nh nr",
            "2 100 200 | or or nh nh",
            "2 100 200 | oh or nh",
            "2 100 200 | oh or nh nr",
            "2 50 200 | or oh np",
            "2 50 200 | oh or op",
            "1 100 200 | ou nc",
            "1 100 200 | og nc",
            "1 100 200 | og ng",
            "1 100 200 | ou og nc",
            "3 50 100 | ou og og",
            "3 50 100 | oc og og",
            "2 100 200 | oh! oh nh nh",
            "2 100 200 | oh! oh! nh nh",
            "2 100 200 | oh! nh nh",
            "2 100 200 | oh! np nh",
            "2 100 200 | op! nh nh",
        ],
        expect![[""]],
    );
}

#[test]
fn health_checks_say_who_counts_and_who_is_replaced() {
    check(
        &[
            "1 100 200 | ng",
            "1 100 200 | nc",
            "1 100 200 completed | nu",
            "1 100 200 completed | nu np",
            "1 100 200 completed | nu nc",
            "1 100 200 completed | nu ng",
            "2 100 200 completed | nu nu",
            "2 100 200 completed | nu nu ng ng",
            "2 100 200 completed | nu ng",
            "2 100 200 completed | nu ng np",
            "2 100 200 completed | nu ng ng",
            "2 100 150 completed | nu ng",
            "2 100 150 completed | nu ng nc",
            "2 100 150 completed | nu nu",
            "2 50 100 completed | nu nu",
            "2 50 100 completed | ns nu",
            "2 50 100 completed | nu np",
            "2 50 100 completed | nu nc",
            "2 50 100 completed | nu ng",
            "2 100 100 completed | nu ng",
            "1 100 200 grace:60 | nu",
            "1 100 200 grace:40 | nu",
            "1 100 200 grace:41 | nu",
            "1 100 200 grace:60 pace:2 | nu",
            "1 100 200 completed grace:60 | nu",
            "2 100 200 | og og nu nu",
            "2 100 150 | og og nu",
            "2 100 150 | og og nc",
        ],
        expect![[""]],
    );
}

#[test]
fn what_never_ran_is_tried_again_ever_more_slowly() {
    check(
        &[
            "1 100 200 | nf",
            "1 100 200 | nf nf",
            "1 100 200 | nf nf nf",
            "1 100 200 | nf*6",
            "1 100 200 | nf*9",
            "1 100 200 | nf*10",
            "1 100 200 | nf*20",
            "2 100 200 | nf nf",
            "2 100 200 | nf nf nf",
            "2 100 200 | nf nf np",
            "5 100 200 | nf*5",
            "5 100 200 | nf*6",
            "1 100 200 pace:100 | nf*20",
            "1 100 200 unstarted:1 | ",
            "1 100 200 unstarted:5 | ",
            "1 100 200 unstarted:6 | ",
            "1 100 200 unstarted:30 | ",
            "1 100 200 unstarted:2 counted:1+2 | nf nf",
            "1 100 200 unstarted:2 counted:1 | nf nf",
            "1 100 200 unstarted:2 counted:7+8 | nf",
            "1 100 200 unstarted:30 | nt",
            "1 100 200 unstarted:30 | ns",
            "1 100 200 unstarted:30 | ne",
            "1 100 200 completed unstarted:3 | nf",
            "1 100 200 completed | nh nf",
            "2 100 200 completed | nh nf",
            "2 100 200 completed | nh nf nf nf",
            "1 100 200 said-failing:60 | nf nf",
            "1 100 200 said-failing:60 since:30 | nf nf",
            "1 100 200 | ne",
            "1 100 200 pace:10 | ne",
            "1 100 200 | nf nf ne",
            "1 100 200 | nt",
            "1 100 200 | ni",
            "1 100 200 | of of of",
        ],
        expect![[""]],
    );
}

#[test]
fn the_circuit_breaker_counts_what_failed_in_a_row() {
    check(
        &[
            "1 100 200 breaker | nf",
            "1 100 200 breaker | nf nf",
            "1 100 200 breaker | nf nf nf",
            "1 100 200 breaker | ne ne",
            "1 100 200 breaker | ne ne ne",
            "1 100 200 breaker | nx nx nx",
            "1 100 200 breaker | nf ne nx",
            "1 100 200 breaker | nf nf nt",
            "1 100 200 breaker | nf nf ni ns",
            "1 100 200 breaker | of of of nf",
            "1 100 200 breaker fails:2 | nf",
            "1 100 200 breaker fails:2 counted:1 | nf",
            "1 100 200 breaker fails:2 | nh",
            "1 100 200 breaker fails:2 | nr",
            "1 100 200 breaker fails:2 | ng",
            "1 100 200 breaker fails:2 forever | nh",
            "2 100 200 breaker fails:2 | nh nf",
            "2 100 200 breaker fails:2 forever | nh nf",
            "2 100 200 breaker fails:1 | nh nf",
            "6 100 200 breaker fails:2 | nf",
            "7 100 200 breaker fails:2 | nf",
            "7 100 200 breaker fails:3 | nf",
            "25 100 200 breaker fails:11 | nf",
            "25 100 200 breaker fails:12 | nf",
            "400 100 200 breaker fails:198 | nf",
            "400 100 200 breaker fails:199 | nf",
            "1000 100 200 breaker fails:199 | nf",
            "1 100 200 count:1 | nf",
            "1 100 200 count:5 fails:3 | nf",
            "1 100 200 count:5 fails:4 | nf",
            "10 100 200 percent:100 fails:8 | nf",
            "10 100 200 percent:100 fails:9 | nf",
            "1 100 200 unbounded:50 | nf",
            "5 100 200 unbounded:50 fails:1 | nf",
            "5 100 200 unbounded:50 fails:2 | nf",
            "1 100 200 breaker completed | nf nf nf",
            "1 100 200 breaker completed fails:0 | ne ne ne",
            "1 100 200 fails:50 | nf",
            "1 100 200 breaker since:0 | nf nf nf",
            "2 100 200 breaker new fails:2 | nf",
            "2 100 200 breaker | oh oh nf nf nf",
        ],
        expect![[""]],
    );
}

#[test]
fn alarms_give_a_deployment_up() {
    check(
        &[
            "1 100 200 new | ",
            "1 100 200 new alarms:ab ringing:a | ",
            "1 100 200 alarms:ab | ",
            "1 100 200 alarms:ab ringing:a | np",
            "1 100 200 alarms:ab ringing:ab | nh",
            "1 100 200 alarms:ab ringing:a ignored:a | np",
            "1 100 200 alarms:ab ringing:ab ignored:a | np",
            "1 100 200 completed alarms:ab ringing:a | nh",
            "1 100 200 failed alarms:ab ringing:a | nh",
            "1 100 200 alarms:ab bake:10 | nh",
            "1 100 200 alarms:ab bake:10 baking:60 | nh",
            "1 100 200 alarms:ab bake:10 baking:599 | nh",
            "1 100 200 alarms:ab bake:10 baking:600 | nh",
            "1 100 200 alarms:ab bake:10 baking:60 ringing:b | nh",
            "1 100 200 alarms:ab bake:10 baking:60 pace:10 | nh",
            "1 100 200 alarms:ab bake:10 baking:60 | np",
            "1 100 200 alarms:ab bake:10 | oh nh",
            "1 100 200 bake:10 | nh",
        ],
        expect![[""]],
    );
}

#[test]
fn what_was_given_up_is_left_but_for_what_is_too_much() {
    check(
        &[
            "2 100 200 failed | ",
            "2 100 200 failed | nr",
            "2 100 200 failed | nf nf",
            "2 100 200 failed | oh oh",
            "2 100 200 failed | oh oh np np",
            "2 100 200 failed | os os nr",
            "0 100 200 failed | oh np",
            "0 100 200 failed | oh!",
            "1 100 100 failed | oh np nh",
            "1 100 200 failed | oh oh np np",
            "2 100 200 failed old | ",
            "2 100 200 failed breaker fails:9 | nf",
        ],
        expect![[""]],
    );
}

#[test]
fn tasks_move_to_a_poorer_zone_one_by_one() {
    check(
        &[
            "2 100 200 completed even zones:ab | nh@a nh@b",
            "2 100 200 completed even zones:ab | nh@a nh@a",
            "3 100 200 completed even zones:ab | nh@a nh@a nh@b",
            "4 100 200 completed even zones:ab | nh@a*3 nh@b",
            "4 100 200 completed even zones:ab | nh@a*3 nh@b nr@b",
            "4 100 200 completed even zones:ab | nh@a*3 nh@b np@b",
            "4 100 200 completed even zones:ab | nh@a*3 nh@b nh@b",
            "4 100 200 completed even zones:ab | nh@a*2 nh@b nh@b",
            "3 100 200 completed even zones:abc | nh@a*3",
            "3 100 200 completed even zones:abc | nh@a*3 nr@b",
            "3 50 200 completed even zones:abc | nh@a*3 nr@b",
            "2 100 100 completed even zones:ab | nh@a nh@a",
            "2 100 200 completed zones:ab | nh@a nh@a",
            "2 100 200 even zones:ab | nh@a nh@a",
            "2 100 200 completed even zones:ab | nh@a nr@a",
            "2 100 200 completed even zones:ab | nh@a! nh@a!",
            "2 100 200 completed even zones:ab | nh@a! nh@a",
            "2 100 200 completed even zones:a | nh@a nh@a",
            "2 100 200 completed even zones:ab unstarted:1 | nh@a nh@a nf",
            "2 100 200 completed even zones:ab | oh@a nh@a nh@a",
            "2 100 200 completed even zones:ab | nh@c nh@c",
        ],
        expect![[""]],
    );
}

#[test]
fn tasks_whose_instances_are_emptied_are_replaced_within_the_bounds() {
    check(
        &[
            "2 100 200 | nh lh",
            "2 100 200 | nh nr lh",
            "2 100 200 | nh nh lh",
            "2 50 100 | nh lh",
            "2 100 100 | nh lh",
            "2 100 200 | lh lh",
            "2 100 200 | nh lp",
        ],
        expect![[""]],
    );
}

#[test]
fn a_service_says_once_in_six_hours_that_it_is_steady() {
    check(
        &[
            "1 100 200 completed said-steady:60 | nh",
            "1 100 200 completed said-steady:21599 | nh",
            "1 100 200 completed said-steady:21600 | nh",
            "1 100 200 completed said-steady:60 said-something:50 | nh",
            "1 100 200 said-steady:60 | nh",
            "1 100 200 completed said-steady:60 | nr",
            "1 100 200 completed said-steady:60 | nh ne",
            "0 100 200 completed said-steady:60 | ",
        ],
        expect![[""]],
    );
}

#[test]
fn a_deleted_service_is_inactive_when_its_tasks_are_stopping() {
    check(
        &[
            "0 100 200 draining | nh oh",
            "0 100 200 draining | nh! np",
            "0 100 200 draining | nz",
            "0 100 200 draining | ns nf",
            "0 100 200 draining | ",
            "0 100 200 draining breaker fails:9 | nf",
            "0 100 200 inactive | nh",
        ],
        expect![[""]],
    );
}
