//! Deployments that go back to where they came from.

use controllers::{TrafficError, TrafficProgress};
use expect_test::expect;
use node::simulated::Fate;
use serde_json::{Value, json};

use crate::rig::{Rig, run};

fn pausing_at(stage: &str) -> Value {
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": [stage]});
    json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": [hook]})
}

/// The hooks of the first deployment are passed by, so that the second one meets them.
async fn deploy_twice(rig: &mut Rig, deployment: Value) {
    rig.create(1, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
    rig.pass(100, 10).await;
    rig.log.clear();
    rig.kit.ecs("UpdateService", &json!({"service": "web", "deploymentConfiguration": deployment})).await;
    rig.traffic.take_orders();
    rig.update().await;
}

#[test]
fn a_deployment_that_is_stopped_goes_back_from_every_stage() {
    let stages = [
        "PRE_SCALE_UP",
        "POST_SCALE_UP",
        "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT",
        "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "PRODUCTION_TRAFFIC_SHIFT",
        "POST_PRODUCTION_TRAFFIC_SHIFT",
    ];
    let mut log = String::new();
    for stage in stages {
        run(async {
            let mut rig = Rig::new();
            deploy_twice(&mut rig, pausing_at(stage)).await;
            rig.pass(100, 10).await;
            assert!(rig.awaited_hook().await.is_some(), "{stage}");
            rig.log.clear();
            rig.stop("ROLLBACK").await;
            rig.pass(60, 1).await;
            log += &format!("{stage}\n{}\n", rig.take_log());
        });
    }
    expect![[r#"
        PRE_SCALE_UP
        000200 ROLLBACK_REQUESTED PRE_SCALE_UP 0.0%/0.0% green 0 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        POST_SCALE_UP
        000200 ROLLBACK_REQUESTED POST_SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        TEST_TRAFFIC_SHIFT
        000200 ROLLBACK_REQUESTED TEST_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        ------ test traffic: GREEN=0 BLUE=100
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        POST_TEST_TRAFFIC_SHIFT
        000200 ROLLBACK_REQUESTED POST_TEST_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        ------ test traffic: GREEN=0 BLUE=100
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        PRE_PRODUCTION_TRAFFIC_SHIFT
        000200 ROLLBACK_REQUESTED PRODUCTION_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        ------ test traffic: GREEN=0 BLUE=100
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        PRODUCTION_TRAFFIC_SHIFT
        000200 ROLLBACK_REQUESTED PRODUCTION_TRAFFIC_SHIFT 100.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        ------ production traffic: GREEN=0 BLUE=100
        ------ test traffic: GREEN=0 BLUE=100
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        POST_PRODUCTION_TRAFFIC_SHIFT
        000200 ROLLBACK_REQUESTED POST_PRODUCTION_TRAFFIC_SHIFT 100.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000200   has stopped 1 running tasks:.
        000200   (deployment ecs-svc/BLUE) deployment completed.
        000200   has reached a steady state.
        ------ production traffic: GREEN=0 BLUE=100
        ------ test traffic: GREEN=0 BLUE=100
        000201 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
    "#]].assert_eq(&log);
}

#[test]
fn a_deployment_that_is_stopped_in_its_scale_up_or_bake_goes_back() {
    let mut log = String::new();
    for seconds in [20, 120] {
        run(async {
            let mut rig = Rig::new();
            deploy_twice(&mut rig, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
            rig.pass(seconds, 1).await;
            log += &format!("{}\n", rig.deployment().await["lifecycleStage"]);
            rig.log.clear();
            rig.stop("ROLLBACK").await;
            rig.pass(60, 1).await;
            log += &format!("{}\n", rig.take_log());
        });
    }
    expect![[r#"
        "SCALE_UP"
        000120 ROLLBACK_REQUESTED SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000120   has stopped 1 running tasks:.
        000120   (deployment ecs-svc/BLUE) deployment completed.
        000120   has reached a steady state.
        000121 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
        "BAKE_TIME"
        000220 ROLLBACK_REQUESTED BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS: Service deployment was stopped by a user request.
        000220   has stopped 1 running tasks:.
        000220   (deployment ecs-svc/BLUE) deployment completed.
        000220   has reached a steady state.
        ------ production traffic: GREEN=0 BLUE=100
        ------ test traffic: GREEN=0 BLUE=100
        000221 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment was stopped by a user request.
    "#]].assert_eq(&log);
}

#[test]
fn a_deployment_that_is_aborted_stays_where_it_is() {
    run(async {
        let mut rig = Rig::new();
        deploy_twice(&mut rig, pausing_at("PRODUCTION_TRAFFIC_SHIFT")).await;
        rig.pass(100, 10).await;
        rig.log.clear();
        rig.stop("ABORT").await;
        rig.pass(600, 10).await;
        expect![[r#"
            000200 STOP_REQUESTED PRODUCTION_TRAFFIC_SHIFT 100.0%/100.0% green 1 blue 1 FAILED: Service deployment was stopped by a user request.
            000210 STOPPED PRODUCTION_TRAFFIC_SHIFT 100.0%/100.0% green 1 blue 1 FAILED: Service deployment was stopped by a user request."#]].assert_eq(&rig.take_log());
    });
}

#[test]
fn a_pause_ends_when_it_is_told_to() {
    run(async {
        let mut rig = Rig::new();
        deploy_twice(&mut rig, pausing_at("POST_TEST_TRAFFIC_SHIFT")).await;
        rig.pass(3600, 10).await;
        rig.tell("CONTINUE").await;
        rig.pass(400, 1).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000110 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            000140 IN_PROGRESS POST_TEST_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS
            ------ production traffic: GREEN=100 BLUE=0
            003701 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
            004000   has stopped 1 running tasks:.
            004000   (deployment ecs-svc/GREEN) deployment completed.
            004000   has reached a steady state.
            004000 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
    });
}

#[test]
fn a_pause_that_nobody_ends_times_out() {
    run(async {
        let mut rig = Rig::new();
        let timeout = json!({"timeoutInMinutes": 30, "action": "ROLLBACK"});
        let hook =
            json!({"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"], "timeoutConfiguration": timeout});
        let deployment = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": [hook]});
        deploy_twice(&mut rig, deployment).await;
        rig.pass(2000, 10).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000110 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000140 IN_PROGRESS POST_SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            001940   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. PAUSE lifecycle hook timed out.
            001940   rolling back to deployment ecs-svc/BLUE.
            001940   has stopped 1 running tasks:.
            001940   (deployment ecs-svc/BLUE) deployment completed.
            001940   has reached a steady state.
            001940 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. PAUSE lifecycle hook timed out."#]].assert_eq(&rig.take_log());
    });
}

#[test]
fn traffic_that_cannot_be_shifted_takes_the_deployment_back() {
    run(async {
        let mut rig = Rig::new();
        deploy_twice(&mut rig, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})).await;
        let failed = || {
            Err(TrafficError(
                "invalid networking configuration. Both targetGroup and alternateTargetGroup must be associated with the \
                 productionListenerRule or testListenerRule."
                    .to_owned(),
            ))
        };
        rig.traffic.answer([Ok(TrafficProgress::Done), failed(), failed(), failed(), failed(), failed()]);
        rig.pass(300, 1).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000140 IN_PROGRESS PRODUCTION_TRAFFIC_SHIFT 0.0%/100.0% green 1 blue 1 IN_PROGRESS
            ------ production traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000240   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because of invalid networking configuration. Both targetGroup and alternateTargetGroup must be associated with the productionListenerRule or testListenerRule.
            000240   rolling back to deployment ecs-svc/BLUE.
            000240   has stopped 1 running tasks:.
            000240   (deployment ecs-svc/BLUE) deployment completed.
            000240   has reached a steady state.
            ------ production traffic: GREEN=100 BLUE=0
            ------ test traffic: GREEN=0 BLUE=100
            000240 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because of invalid networking configuration. Both targetGroup and alternateTargetGroup must be associated with the productionListenerRule or testListenerRule."#]].assert_eq(&rig.take_log());
    });
}

#[test]
fn tasks_that_fail_take_the_deployment_back() {
    run(async {
        let mut rig = Rig::new();
        let breaker = json!({"enable": true, "rollback": true});
        deploy_twice(
            &mut rig,
            json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "deploymentCircuitBreaker": breaker}),
        )
        .await;
        rig.machine.node().set_fate("app", Fate::parse("exit 1 after 5s").unwrap());
        rig.pass(100, 1).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000105 IN_PROGRESS SCALE_UP 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000110   has started 1 tasks:.
            000110 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000115 IN_PROGRESS SCALE_UP 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000120   has started 1 tasks:.
            000120 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000125   (deployment ecs-svc/GREEN) deployment failed: tasks failed to start.
            000125   rolling back to deployment ecs-svc/BLUE.
            000125   (deployment ecs-svc/BLUE) deployment completed.
            000125   has reached a steady state.
            000125 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because the circuit breaker threshold was exceeded."#]].assert_eq(&rig.take_log());
    });
}
