//! Deployments in which a function has a say.

use std::sync::Arc;

use expect_test::expect;
use node::{HttpAnswer, HttpError};
use serde_json::{Value, json};
use state::State;
use testkit::SimulatedMachine;

use crate::rig::{FUNCTION, Rig, function_url, run};

fn asking_at(stages: &[&str]) -> Value {
    let hook = json!({
        "hookTargetArn": FUNCTION,
        "roleArn": "arn:aws:iam::123456789012:role/hook",
        "lifecycleStages": stages,
        "hookDetails": {"suite": "smoke"},
    });
    json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1, "lifecycleHooks": [hook]})
}

fn says(body: &str) -> Result<HttpAnswer, HttpError> {
    Ok(HttpAnswer { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() })
}

/// Deploys with a function that says these things, one after the other.
async fn deploy(stages: &[&str], answers: Vec<Result<HttpAnswer, HttpError>>) -> Rig {
    let mut rig = Rig::new();
    rig.create(1, json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1})).await;
    rig.pass(100, 10).await;
    rig.log.clear();
    rig.kit.ecs("UpdateService", &json!({"service": "web", "deploymentConfiguration": asking_at(stages)})).await;
    rig.traffic.take_orders();
    rig.machine.node().answer_http(&function_url(), answers);
    rig.update().await;
    rig
}

/// Takes the events that the function got, a line each.
fn events(rig: &Rig) -> String {
    let requests = rig.machine.node().take_http_requests();
    let body = |request: node::HttpRequest| {
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", function_url().as_str()));
        String::from_utf8(request.body).unwrap()
    };
    requests.into_iter().map(body).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_function_is_asked_again_until_it_has_made_up_its_mind() {
    run(async {
        let again = r#"{"hookStatus":"IN_PROGRESS","callBackDelay":20,"hookDetails":{"run":7}}"#;
        let answers = vec![says(again), says(r#"{"hookStatus":"IN_PROGRESS"}"#), says(r#"{"hookStatus":"SUCCEEDED"}"#)];
        let mut rig = deploy(&["POST_SCALE_UP"], answers).await;
        rig.pass(200, 1).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000140 IN_PROGRESS POST_SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            000190 IN_PROGRESS BAKE_TIME 100.0%/100.0% green 1 blue 1 IN_PROGRESS
            000250   has stopped 1 running tasks:.
            000250   (deployment ecs-svc/GREEN) deployment completed.
            000250   has reached a steady state.
            000250 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]]
        .assert_eq(&rig.take_log());
        expect![[r#"
            {"executionDetails":{"productionTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0},"serviceArn":"arn:aws:ecs:us-east-1:123456789012:service/default/web","targetServiceRevisionArn":"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054","testTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0}},"executionId":"00000000-0000-4000-8000-000000000038","hookDetails":{"suite":"smoke"},"lifecycleStage":"POST_SCALE_UP","resourceArn":"arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/AAAAAAAAAAAAAAAAAAAA3"}
            {"executionDetails":{"productionTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0},"serviceArn":"arn:aws:ecs:us-east-1:123456789012:service/default/web","targetServiceRevisionArn":"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054","testTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0}},"executionId":"00000000-0000-4000-8000-000000000038","hookDetails":{"run":7},"lifecycleStage":"POST_SCALE_UP","resourceArn":"arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/AAAAAAAAAAAAAAAAAAAA3"}
            {"executionDetails":{"productionTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0},"serviceArn":"arn:aws:ecs:us-east-1:123456789012:service/default/web","targetServiceRevisionArn":"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054","testTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0}},"executionId":"00000000-0000-4000-8000-000000000038","hookDetails":{"run":7},"lifecycleStage":"POST_SCALE_UP","resourceArn":"arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/AAAAAAAAAAAAAAAAAAAA3"}"#]].assert_eq(&events(&rig));
    });
}

#[test]
fn a_function_that_is_against_it_takes_the_deployment_back() {
    run(async {
        // It is against it when production traffic has come over, and is told when that goes back.
        let answers = vec![says(r#"{"hookStatus":"FAILED"}"#), says(r#"{"hookStatus":"SUCCEEDED"}"#)];
        let mut rig = deploy(&["PRODUCTION_TRAFFIC_SHIFT"], answers).await;
        rig.pass(120, 1).await;
        expect![[r#"
            000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
            000100   has started 1 tasks:.
            000101 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS
            000140   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned FAILED status.
            000140   rolling back to deployment ecs-svc/BLUE.
            000140   has stopped 1 running tasks:.
            000140   (deployment ecs-svc/BLUE) deployment completed.
            000140   has reached a steady state.
            ------ test traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=100 BLUE=0
            ------ production traffic: GREEN=0 BLUE=100
            ------ test traffic: GREEN=0 BLUE=100
            000140 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned FAILED status."#]].assert_eq(&rig.take_log());
        expect![[r#"
            {"executionDetails":{"productionTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":0.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":100.0},"serviceArn":"arn:aws:ecs:us-east-1:123456789012:service/default/web","targetServiceRevisionArn":"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054","testTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":0.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":100.0}},"executionId":"00000000-0000-4000-8000-000000000038","hookDetails":{"suite":"smoke"},"lifecycleStage":"PRODUCTION_TRAFFIC_SHIFT","resourceArn":"arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/AAAAAAAAAAAAAAAAAAAA3"}
            {"executionDetails":{"productionTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":100.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":0.0},"serviceArn":"arn:aws:ecs:us-east-1:123456789012:service/default/web","targetServiceRevisionArn":"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054","testTrafficWeights":{"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000004":0.0,"arn:aws:ecs:us-east-1:123456789012:service-revision/default/web/1000000000000000054":100.0}},"executionId":"00000000-0000-4000-8000-0000000000bd","hookDetails":{"suite":"smoke"},"lifecycleStage":"PRODUCTION_TRAFFIC_SHIFT","resourceArn":"arn:aws:ecs:us-east-1:123456789012:service-deployment/default/web/AAAAAAAAAAAAAAAAAAAA3"}"#]].assert_eq(&events(&rig));
    });
}

#[test]
fn a_function_that_cannot_be_understood_takes_the_deployment_back() {
    let refused = || Err(HttpError::Unreachable { why: "connection refused".to_owned() });
    let rows = [
        vec![says("true")],
        vec![says(r#"{"hookStatus":"MAYBE"}"#)],
        vec![refused()],
        vec![refused(), refused(), says(r#"{"hookStatus":"SUCCEEDED"}"#)],
        vec![Ok(HttpAnswer { status: 404, headers: Vec::new(), body: Vec::new() })],
    ];
    let mut log = String::new();
    for answers in rows {
        run(async {
            let mut rig = deploy(&["PRE_SCALE_UP"], answers).await;
            rig.pass(70, 1).await;
            log += &format!("{}\n\n", rig.take_log());
        });
    }
    expect![[r#"
        000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000100   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned invalid output: HookStatus must not be null.
        000100   rolling back to deployment ecs-svc/BLUE.
        000100   (deployment ecs-svc/BLUE) deployment completed.
        000100   has reached a steady state.
        000101 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned invalid output: HookStatus must not be null.

        000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000100   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned invalid output: HookStatus MAYBE is not known.
        000100   rolling back to deployment ecs-svc/BLUE.
        000100   (deployment ecs-svc/BLUE) deployment completed.
        000100   has reached a steady state.
        000101 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check returned invalid output: HookStatus MAYBE is not known.

        000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000101 IN_PROGRESS PRE_SCALE_UP 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000160   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check could not be invoked: no answer: connection refused.
        000160   rolling back to deployment ecs-svc/BLUE.
        000160   (deployment ecs-svc/BLUE) deployment completed.
        000160   has reached a steady state.
        000160 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check could not be invoked: no answer: connection refused.

        000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000101 IN_PROGRESS PRE_SCALE_UP 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000160   has started 1 tasks:.
        000160 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 1 IN_PROGRESS

        000100 PENDING - 0.0%/0.0% green 0 blue 1 IN_PROGRESS
        000100   (deployment ecs-svc/GREEN) deployment failed: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check could not be invoked: the answer is HTTP 404.
        000100   rolling back to deployment ecs-svc/BLUE.
        000100   (deployment ecs-svc/BLUE) deployment completed.
        000100   has reached a steady state.
        000101 ROLLBACK_SUCCESSFUL CLEAN_UP 0.0%/0.0% green 0 blue 1 COMPLETED: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target arn:aws:lambda:us-east-1:123456789012:function:check could not be invoked: the answer is HTTP 404.

    "#]].assert_eq(&log);
}

#[test]
fn without_an_endpoint_functions_are_skipped_and_the_events_say_so() {
    run(async {
        let mut rig = Rig::on(Arc::new(SimulatedMachine::new()), State::in_memory(), None);
        rig.create(1, asking_at(&["PRE_SCALE_UP", "POST_SCALE_UP"])).await;
        rig.pass(60, 1).await;
        expect![[r#"
            000000 PENDING - 0.0%/0.0% green 0 blue 0 IN_PROGRESS
            000000   skipped the PRE_SCALE_UP lifecycle hook arn:aws:lambda:us-east-1:123456789012:function:check: start neargate serve with --lambda-endpoint to have it called.
            000000   has started 1 tasks:.
            000001 IN_PROGRESS SCALE_UP 0.0%/0.0% green 1 blue 0 IN_PROGRESS
            000040   skipped the POST_SCALE_UP lifecycle hook arn:aws:lambda:us-east-1:123456789012:function:check: start neargate serve with --lambda-endpoint to have it called.
            000040   (deployment ecs-svc/GREEN) deployment completed.
            000040   has reached a steady state.
            ------ test traffic: GREEN=100
            ------ production traffic: GREEN=100
            000040 SUCCESSFUL CLEAN_UP 100.0%/100.0% green 1 blue 0 COMPLETED"#]].assert_eq(&rig.take_log());
        assert_eq!(rig.deployment().await["lifecycleHookDetails"], json!([]));
    });
}
