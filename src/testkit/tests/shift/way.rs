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
            000000 PENDING - 0.0%/0.0% green 0 blue 0 IN_PROGRESS
            000000   has started 2 tasks:.
            000001 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 0 IN_PROGRESS
            000040   (deployment ecs-svc/GREEN) deployment completed.
            000040   has reached a steady state.
            ------ test traffic: GREEN=100
            ------ production traffic: GREEN=100
            000040 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
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
            000100 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
            000100   has started 2 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 2 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000140 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
            000440   has stopped 2 running tasks:.
            000440   (deployment ecs-svc/GREEN) deployment completed.
            000440   has reached a steady state.
            000440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
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
            000100 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
            000100   has started 2 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 2 blue 2 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=10 BLUE=90
            000140 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 10.0%/100.0% green 2 blue 2 IN_PROGRESS
            ------ production traffic: GREEN=100 BLUE=0
            000740 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
            000860   has stopped 2 running tasks:.
            000860   (deployment ecs-svc/GREEN) deployment completed.
            000860   has reached a steady state.
            000860 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
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
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=33.3 BLUE=66.7
            000140 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 33.3%/100.0% green 1 blue 1 IN_PROGRESS
            ------ production traffic: GREEN=66.6 BLUE=33.4
            000200 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 66.6%/100.0% green 1 blue 1 IN_PROGRESS
            ------ production traffic: GREEN=99.9 BLUE=0.1
            000260 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 99.9%/100.0% green 1 blue 1 IN_PROGRESS
            000320   has stopped 1 running tasks:.
            000320   (deployment ecs-svc/GREEN) deployment completed.
            000320   has reached a steady state.
            ------ production traffic: GREEN=100 BLUE=0
            000320 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
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
            000200   has started 2 tasks:.
            000200   has started 2 tasks:.
            000201 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 3 blue 3 IN_PROGRESS
            000260   has stopped 2 running tasks:.
            000260   has stopped 2 running tasks:.
            000261 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
            000440   has stopped 1 running tasks:.
            000440   (deployment ecs-svc/GREEN) deployment completed.
            000440   has reached a steady state.
            000440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
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
            000200 PENDING - 0.0%/0.0% green 0 blue 2 IN_PROGRESS
            000200   has stopped 1 running tasks:.
            000200   has started 1 tasks:.
            ------ production traffic: GREEN=0 BLUE=100
            ------ test traffic: GREEN=0 BLUE=100
            000201 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000240 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
            000540   has stopped 1 running tasks:.
            000540   (deployment ecs-svc/GREEN) deployment completed.
            000540   has reached a steady state.
            000540 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
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
            000300 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 2 blue 2 IN_PROGRESS
            000440   has stopped 2 running tasks:.
            000440   (deployment ecs-svc/GREEN) deployment completed.
            000440   has reached a steady state.
            000440 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 2 blue 0 COMPLETED"#]]
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
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            000140 IN_PROGRESS TEST_TRAFFIC_SHIFT 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ test traffic: GREEN=100 BLUE=0
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000143 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS
            ------ production traffic: GREEN=100 BLUE=0
            000173   has stopped 1 running tasks:.
            000173   (deployment ecs-svc/GREEN) deployment completed.
            000173   has reached a steady state.
            ------ production traffic: GREEN=100 BLUE=0
            000173 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
        rig.kit.advance(Duration::from_secs(1)).await;
    });
}
