//! Deployments that come to a good end.

use std::sync::Arc;
use std::time::Duration;

use controllers::{TrafficError, TrafficProgress};
use expect_test::expect;
use serde_json::json;
use state::State;
use testkit::SimulatedMachine;

use crate::rig::{LAMBDA, Rig, run};

#[test]
fn the_first_deployment_walks_through_all_stages_without_a_bake() {
    run(async {
        let mut rig = Rig::new();
        rig.create(2, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        rig.pass(60, 1).await;
        expect![[r#"
                 0 PENDING - 0.0%/0.0% green 0 blue 0 IN_PROGRESS
                 0   has started 2 tasks:.
                 1 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 0 IN_PROGRESS
                40   (deployment ecs-svc/GREEN) deployment completed.
                40   has reached a steady state.
                     test traffic: GREEN=100
                     production traffic: GREEN=100
                40 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn blue_green_shifts_all_traffic_at_once_and_bakes() {
    run(async {
        let mut rig = Rig::new();
        rig.create_and_update(2, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        rig.pass(400, 1).await;
        expect![[r#"
               100 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
               100   has started 2 tasks:.
               101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 2 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
                     production traffic: GREEN=100 BLUE=0
               140 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
               440   has stopped 2 running tasks:.
               440   (deployment ecs-svc/GREEN) deployment completed.
               440   has reached a steady state.
               440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn a_canary_gets_a_tenth_for_ten_minutes() {
    run(async {
        let mut rig = Rig::new();
        let canary = json!({"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 10});
        rig.create_and_update(2, json!({"strategy": "CANARY", "bakeTimeInMinutes": 2, "canaryConfiguration": canary}))
            .await;
        rig.pass(900, 1).await;
        expect![[r#"
               100 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
               100   has started 2 tasks:.
               101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 2 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
                     production traffic: GREEN=10 BLUE=90
               140 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 10.0%/100.0% green 2 blue 2 IN_PROGRESS
                     production traffic: GREEN=100 BLUE=0
               740 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
               860   has stopped 2 running tasks:.
               860   (deployment ecs-svc/GREEN) deployment completed.
               860   has reached a steady state.
               860 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn a_linear_deployment_goes_in_equal_steps() {
    run(async {
        let mut rig = Rig::new();
        let linear = json!({"stepPercent": 33.3, "stepBakeTimeInMinutes": 1});
        rig.create_and_update(1, json!({"strategy": "LINEAR", "bakeTimeInMinutes": 0, "linearConfiguration": linear}))
            .await;
        rig.pass(300, 1).await;
        expect![[r#"
               100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
               100   has started 1 tasks:.
               101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
                     production traffic: GREEN=33.3 BLUE=66.7
               140 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 33.3%/100.0% green 1 blue 1 IN_PROGRESS
                     production traffic: GREEN=66.6 BLUE=33.4
               200 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 66.6%/100.0% green 1 blue 1 IN_PROGRESS
                     production traffic: GREEN=99.9 BLUE=0.1
               260 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 99.9%/100.0% green 1 blue 1 IN_PROGRESS
               320   has stopped 1 running tasks:.
               320   (deployment ecs-svc/GREEN) deployment completed.
               320   has reached a steady state.
                     production traffic: GREEN=100 BLUE=0
               320 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn scaling_in_the_middle_scales_both_revisions() {
    run(async {
        let mut rig = Rig::new();
        rig.create_and_update(1, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        rig.pass(100, 1).await;
        rig.log.clear();
        rig.kit.ecs("UpdateService", &json!({"service": "web", "desiredCount": 3})).await;
        rig.pass(60, 1).await;
        rig.kit.ecs("UpdateService", &json!({"service": "web", "desiredCount": 1})).await;
        rig.pass(250, 1).await;
        expect![[r#"
               200   has started 2 tasks:.
               200   has started 2 tasks:.
               201 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 3 blue 3 IN_PROGRESS
               260   has stopped 2 running tasks:.
               260   has stopped 2 running tasks:.
               261 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
               440   has stopped 1 running tasks:.
               440   (deployment ecs-svc/GREEN) deployment completed.
               440   has reached a steady state.
               440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn a_newer_deployment_first_ends_what_was_not_finished() {
    run(async {
        let mut rig = Rig::new();
        rig.create_and_update(1, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        rig.pass(100, 10).await;
        rig.log.clear();
        rig.update().await;
        rig.pass(420, 1).await;
        expect![[r#"
               200 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
               200   has stopped 1 running tasks:.
               200   has started 1 tasks:.
                     production traffic: GREEN=0 BLUE=100
                     test traffic: GREEN=0 BLUE=100
               201 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
                     production traffic: GREEN=100 BLUE=0
               240 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
               540   has stopped 1 running tasks:.
               540   (deployment ecs-svc/GREEN) deployment completed.
               540   has reached a steady state.
               540 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn a_server_that_is_killed_in_mid_bake_goes_on_baking() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let machine = Arc::new(SimulatedMachine::new());
    run(async {
        let mut rig = Rig::on(Arc::clone(&machine), State::open(&file).unwrap(), Some(LAMBDA));
        rig.create_and_update(2, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        rig.pass(200, 5).await;
        assert_eq!(rig.deployment().await["lifecycleStage"], "BAKE_TIME");
    });
    run(async {
        let mut rig = Rig::on(Arc::clone(&machine), State::open(&file).unwrap(), Some(LAMBDA));
        rig.kit.settle().await;
        rig.look().await;
        rig.log.retain(|line| line.contains("BAKE_TIME"));
        rig.pass(300, 5).await;
        expect![[r#"
               300 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
               440   has stopped 2 running tasks:.
               440   (deployment ecs-svc/GREEN) deployment completed.
               440   has reached a steady state.
               440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn traffic_that_takes_a_while_is_waited_for() {
    run(async {
        let mut rig = Rig::new();
        rig.create_and_update(1, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})).await;
        let failed = || Err(TrafficError("a balancer that is busy.".to_owned()));
        let slow = || Ok(TrafficProgress::UnderWay);
        // Test traffic comes at the fourth look, production traffic at the third attempt.
        rig.traffic.answer([slow(), slow(), slow(), Ok(TrafficProgress::Done), failed(), failed()]);
        rig.pass(120, 1).await;
        expect![[r#"
               100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
               100   has started 1 tasks:.
               101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
               140 IN_PROGRESS TEST_TRAFFIC_SHIFT 0.0%/0.0% green 1 blue 1 IN_PROGRESS
                     test traffic: GREEN=100 BLUE=0
                     test traffic: GREEN=100 BLUE=0
                     test traffic: GREEN=100 BLUE=0
                     production traffic: GREEN=100 BLUE=0
               143 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS
                     production traffic: GREEN=100 BLUE=0
               173   has stopped 1 running tasks:.
               173   (deployment ecs-svc/GREEN) deployment completed.
               173   has reached a steady state.
                     production traffic: GREEN=100 BLUE=0
               173 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
        rig.kit.advance(Duration::from_secs(1)).await;
    });
}
