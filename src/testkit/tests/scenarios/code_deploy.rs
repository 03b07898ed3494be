//! Blue/green deployments of CodeDeploy on the manual clock: stages at their times, functions, alarms, traffic.

use std::sync::Arc;
use std::time::Duration;

use controllers::{Controllers, Settings, TrafficError, TrafficProgress};
use node::{HttpAnswer, HttpError};
use serde_json::{Value, json};
use state::State;
use state::ecs::Traffic;
use testkit::{ScriptedTraffic, SimulatedMachine, Testkit};

use crate::{log, subnet};

const LAMBDA: &str = "http://lambda:9001";
const HOUR: Duration = Duration::from_secs(3600);

/// A service that is left to CodeDeploy, and what happens to it.
struct Rig {
    machine: Arc<SimulatedMachine>,
    kit: Testkit,
    traffic: Arc<ScriptedTraffic>,
    deployment: String,
}

impl Rig {
    fn on(machine: Arc<SimulatedMachine>, state: Arc<State>) -> Self {
        let settings = Settings { lambda_endpoint: Some(LAMBDA.to_owned()), ..Settings::default() };
        let traffic = Arc::<ScriptedTraffic>::default();
        let kit = machine.start(state, Controllers::new().with(settings).with_traffic(Arc::clone(&traffic) as _));
        Self { machine, kit, traffic, deployment: String::new() }
    }

    /// Starts an emulator with the service `web` of two tasks and the group `g` that deploys it.
    async fn new(group: Value) -> Self {
        let rig = Self::on(Arc::new(SimulatedMachine::new()), State::in_memory());
        rig.make(group).await;
        rig
    }

    async fn make(&self, group: Value) {
        let kit = &self.kit;
        let target = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/blue/0123456789abcdef";
        kit.ecs("CreateCluster", &json!({})).await;
        let definition = json!({
            "family": "app", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
            "memory": "512", "containerDefinitions": [{
                "name": "app", "image": "busybox", "portMappings": [{ "containerPort": 80 }],
            }],
        });
        kit.ecs("RegisterTaskDefinition", &definition).await;
        kit.ecs("RegisterTaskDefinition", &definition).await;
        let service = json!({
            "serviceName": "web", "taskDefinition": "app:1", "desiredCount": 2, "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [subnet(kit).await] } },
            "deploymentController": { "type": "CODE_DEPLOY" },
            "loadBalancers": [{ "targetGroupArn": target, "containerName": "app", "containerPort": 80 }],
        });
        kit.ecs("CreateService", &service).await;
        kit.pass(Duration::from_secs(10)).await;
        kit.ask("codedeploy", "CreateApplication", &json!({ "applicationName": "a", "computePlatform": "ECS" })).await;
        let listener = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/l/1/2";
        let mut whole = json!({
            "applicationName": "a", "deploymentGroupName": "g", "serviceRoleArn": "arn:aws:iam::123456789012:role/r",
            "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes",
            "deploymentStyle": { "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" },
            "blueGreenDeploymentConfiguration": { "terminateBlueInstancesOnDeploymentSuccess": {
                "action": "TERMINATE", "terminationWaitTimeInMinutes": 60,
            } },
            "loadBalancerInfo": { "targetGroupPairInfoList": [{
                "targetGroups": [{ "name": "blue" }, { "name": "green" }],
                "prodTrafficRoute": { "listenerArns": [listener] }, "testTrafficRoute": { "listenerArns": [listener] },
            }] },
            "autoRollbackConfiguration": {
                "enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"],
            },
            "ecsServices": [{ "clusterName": "default", "serviceName": "web" }],
        });
        crate::merge(&mut whole, group);
        kit.ask("codedeploy", "CreateDeploymentGroup", &whole).await;
    }

    /// Deploys the second revision, with hooks.
    async fn deploy(&mut self, hooks: Value) {
        let spec = json!({ "version": 0.0, "Hooks": hooks, "Resources": [{ "T": {
            "Type": "AWS::ECS::Service", "Properties": {
                "TaskDefinition": "arn:aws:ecs:us-east-1:123456789012:task-definition/app:2",
                "LoadBalancerInfo": { "ContainerName": "app", "ContainerPort": 80 },
            },
        } }] });
        let revision = json!({ "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } });
        let wanted = json!({ "applicationName": "a", "deploymentGroupName": "g", "revision": revision });
        let made = self.kit.ask("codedeploy", "CreateDeployment", &wanted).await;
        self.deployment = made["deploymentId"].as_str().unwrap_or_default().to_owned();
    }

    async fn info(&self, id: &str) -> Value {
        let shown = self.kit.ask("codedeploy", "GetDeployment", &json!({ "deploymentId": id })).await;
        shown["deploymentInfo"].clone()
    }

    async fn status(&self) -> String {
        self.info(&self.deployment).await["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the deployment that took it back.
    async fn rollback(&self) -> Value {
        let info = self.info(&self.deployment).await;
        self.info(info["rollbackInfo"]["rollbackDeploymentId"].as_str().expect("it was taken back")).await
    }

    /// Shows the lifecycle events, a line each: name, status, and seconds from begin to end.
    async fn events(&self) -> Vec<String> {
        let input = json!({ "deploymentId": self.deployment, "targetId": "default:web" });
        let shown = self.kit.ask("codedeploy", "GetDeploymentTarget", &input).await;
        let events = shown["deploymentTarget"]["ecsTarget"]["lifecycleEvents"].as_array().cloned().unwrap_or_default();
        let line = |event: &Value| {
            let time = |name: &str| event[name].as_f64();
            let took = time("startTime").zip(time("endTime")).map(|(start, end)| format!(" {:.0}", end - start));
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let message = event["diagnostics"]["message"].as_str().map(|message| format!(": {message}"));
            format!(
                "{} {}{}{}",
                text("lifecycleEventName"),
                text("status"),
                took.unwrap_or_default(),
                message.unwrap_or_default()
            )
        };
        events.iter().map(line).collect()
    }

    /// Takes the calls of functions: the function's part of the address, and the id that it is to answer with.
    fn calls(&self) -> Vec<(String, String)> {
        let call = |request: node::HttpRequest| {
            let invocation = request.headers.iter().find(|(name, _)| name == "x-amz-invocation-type");
            assert_eq!(invocation.map(|(_, value)| value.as_str()), Some("Event"));
            let event = serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
            assert_eq!(event["DeploymentId"], self.deployment);
            let function = request.url.split('/').rev().nth(1).unwrap_or_default().to_owned();
            (function, event["LifecycleEventHookExecutionId"].as_str().unwrap_or_default().to_owned())
        };
        self.machine.node().take_http_requests().into_iter().map(call).collect()
    }

    /// Answers for the function that was called last.
    async fn answer(&self, status: &str) -> String {
        let (function, id) = self.calls().pop().expect("a function was called");
        let input = json!({
            "deploymentId": self.deployment, "lifecycleEventHookExecutionId": id, "status": status,
        });
        let said = self.kit.ask("codedeploy", "PutLifecycleEventHookExecutionStatus", &input).await;
        assert_eq!(said["lifecycleEventHookExecutionId"].as_str(), Some(id.as_str()));
        self.pass(0).await;
        function
    }

    async fn pass(&self, seconds: u64) {
        self.kit.pass(Duration::from_secs(seconds)).await;
    }

    /// Takes the orders of traffic: the kind, and the share of each task set that is named.
    fn orders(&self) -> Vec<String> {
        let orders = self.traffic.take_orders().into_iter().map(|order| {
            let kind = if order.traffic == Traffic::Production { "production" } else { "test" };
            let shares = order.shares.iter().map(|(_, weight)| weight.percent().to_string()).collect::<Vec<_>>();
            format!("{kind} {}", shares.join("/"))
        });
        orders.collect()
    }

    /// Returns the task definition of the task set that takes the traffic.
    async fn primary(&self) -> String {
        let shown = self.kit.ecs("DescribeServices", &json!({ "services": ["web"] })).await;
        let task_sets = shown["services"][0]["taskSets"].as_array().cloned().unwrap_or_default();
        let primary = task_sets.into_iter().find(|task_set| task_set["status"] == "PRIMARY").unwrap_or_default();
        primary["taskDefinition"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
    }
}

fn hook(event: &str) -> Value {
    json!({ event: "check" })
}

#[tokio::test]
async fn a_blue_green_of_code_deploy_goes_through_its_stages_at_their_times() {
    let mut rig =
        Rig::new(json!({ "deploymentConfigName": "CodeDeployDefault.ECSLinear10PercentEvery3Minutes" })).await;
    rig.deploy(json!([])).await;
    // Ten parts, nine waits of three minutes, and the hour of the original tasks.
    rig.kit.pass(Duration::from_secs(9 * 180) + HOUR - Duration::from_secs(1)).await;
    assert_eq!(rig.status().await, "InProgress");
    rig.pass(10).await;
    assert_eq!(rig.status().await, "Succeeded");
    let shown = log(&rig.kit).await.into_iter().map(|line| line.split_once(' ').map(|(_, text)| text.to_owned()));
    assert_eq!(
        shown.map(Option::unwrap_or_default).collect::<Vec<_>>(),
        [
            "(service web, taskSet #1) has started 2 tasks: (task #2) (task #3).",
            "(service web, taskSet #1) has reached a steady state.",
            "(service web, taskSet #4) has started 2 tasks: (task #5) (task #6).",
            "(service web, taskSet #4) has reached a steady state.",
            "(service web, taskSet #1) has stopped 2 running tasks: (task #2) (task #3).",
        ]
    );
    let parts = (1..=10).map(|part| format!("production {}/{}", part * 10, 100 - part * 10));
    assert_eq!(rig.orders(), std::iter::once("test 100/0".to_owned()).chain(parts).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_hook_calls_its_function_once_and_waits_for_its_word() {
    let events = ["BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic"];
    let mut rig = Rig::new(json!({})).await;
    rig.deploy(Value::Array(events.iter().map(|event| json!({ *event: format!("on-{event}") })).collect())).await;
    for (place, event) in events.into_iter().enumerate() {
        // The last one comes when all traffic has come over.
        rig.pass(if place == 4 { 300 } else { 600 }).await;
        assert_eq!(rig.status().await, "InProgress");
        assert_eq!(rig.answer("Succeeded").await, format!("on-{event}"));
    }
    rig.kit.pass(HOUR).await;
    assert_eq!(rig.status().await, "Succeeded");
    assert_eq!(
        rig.events().await,
        [
            "BeforeInstall Succeeded 600",
            "Install Succeeded 0",
            "AfterInstall Succeeded 600",
            "AllowTestTraffic Succeeded 0",
            "AfterAllowTestTraffic Succeeded 600",
            "BeforeAllowTraffic Succeeded 600",
            "AllowTraffic Succeeded 300",
            "AfterAllowTraffic Succeeded 0",
        ]
    );
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn a_function_that_is_against_it_takes_the_traffic_back() {
    let mut rig = Rig::new(json!({})).await;
    rig.deploy(json!([hook("AfterAllowTraffic")])).await;
    rig.pass(400).await;
    assert_eq!(rig.primary().await, "app:2");
    assert_eq!(rig.orders(), ["test 100/0", "production 10/90", "production 100/0"]);
    rig.answer("Failed").await;
    let info = rig.info(&rig.deployment).await;
    assert_eq!(info["status"], "Failed");
    assert_eq!(
        info["errorInformation"],
        json!({
            "code": "HOOK_EXECUTION_FAILURE",
            "message": "The deployment failed because one or more of the lifecycle event validation functions failed.",
        })
    );
    let last = rig.events().await.pop();
    assert_eq!(last.as_deref(), Some("AfterAllowTraffic Failed 100: The validation function check returned Failed."));
    rig.pass(10).await;
    assert_eq!(rig.orders(), ["production 0/100", "test 0/100"]);
    assert_eq!((rig.rollback().await["status"].as_str(), rig.primary().await.as_str()), (Some("Succeeded"), "app:1"));
}

#[tokio::test]
async fn a_function_that_says_nothing_for_an_hour_fails_the_deployment() {
    let mut rig = Rig::new(json!({})).await;
    rig.deploy(json!([hook("BeforeInstall")])).await;
    rig.kit.pass(HOUR - Duration::from_secs(1)).await;
    assert_eq!(rig.status().await, "InProgress");
    rig.pass(2).await;
    let info = rig.info(&rig.deployment).await;
    assert_eq!(info["status"], "Failed");
    assert_eq!(info["errorInformation"]["code"], "TIMEOUT");
    assert_eq!(
        info["errorInformation"]["message"],
        "The deployment timed out while waiting for a status callback. CodeDeploy expects a status callback within one \
         hour after a deployment hook is invoked."
    );
    assert_eq!(rig.calls().len(), 1);
    assert_eq!(rig.events().await[0], "BeforeInstall Failed 3600: The validation function check timed out.");
}

#[tokio::test]
async fn a_function_that_cannot_be_called_fails_the_deployment() {
    let refused = || Err(HttpError::Unreachable { why: "connection refused".to_owned() });
    let missing = || Ok(HttpAnswer { status: 404, headers: Vec::new(), body: Vec::new() });
    let url = format!("{LAMBDA}/2015-03-31/functions/check/invocations");
    // The answers, and what is shown and after how many calls.
    let could_not = "The validation function check could not be invoked";
    let rows = [
        (vec![refused()], 3, format!("BeforeInstall Failed 60: {could_not}: no answer: connection refused")),
        (vec![missing()], 1, format!("BeforeInstall Failed 0: {could_not}: the answer is HTTP 404")),
    ];
    for (answers, calls, shown) in rows {
        let mut rig = Rig::new(json!({})).await;
        rig.machine.node().answer_http(&url, answers);
        rig.deploy(json!([hook("BeforeInstall")])).await;
        rig.pass(120).await;
        assert_eq!((rig.status().await.as_str(), rig.calls().len()), ("Failed", calls));
        assert_eq!(rig.events().await[0], shown);
    }
}

#[tokio::test]
async fn an_alarm_stops_the_deployment_at_once_and_it_is_taken_back() {
    let alarms = json!({ "alarmConfiguration": { "enabled": true, "alarms": [{ "name": "errors" }] } });
    let mut rig = Rig::new(alarms).await;
    let parameters = "AlarmName=errors&MetricName=m&Namespace=n&Statistic=Sum&Period=60&EvaluationPeriods=1&Threshold=1\
                      &ComparisonOperator=GreaterThanThreshold";
    assert!(rig.kit.call_form("cloudwatch", "PutMetricAlarm", parameters).await.status.is_success());
    rig.deploy(json!([])).await;
    rig.pass(100).await;
    assert_eq!(rig.orders(), ["test 100/0", "production 10/90"]);
    let (before, steps) = (rig.machine.now(), rig.kit.emulator().controllers().steps());
    rig.kit.settle().await;
    assert_eq!(rig.kit.emulator().controllers().steps(), steps, "nobody looks while nothing happens");
    let parameters = "AlarmName=errors&StateValue=ALARM&StateReason=test";
    assert!(rig.kit.call_form("cloudwatch", "SetAlarmState", parameters).await.status.is_success());
    rig.kit.settle().await;
    assert_eq!(rig.machine.now(), before);
    let info = rig.info(&rig.deployment).await;
    assert_eq!(
        (info["status"].as_str(), info["errorInformation"]["code"].as_str()),
        (Some("Stopped"), Some("ALARM_ACTIVE"))
    );
    rig.pass(10).await;
    assert_eq!(rig.rollback().await["status"], "Succeeded");
    assert_eq!(rig.orders(), ["production 0/100", "test 0/100"]);
    assert_eq!(rig.primary().await, "app:1");
}

#[tokio::test]
async fn traffic_that_takes_its_time_is_waited_for_and_traffic_that_fails_is_given_up() {
    let broken = || Err(TrafficError("the listener is broken".to_owned()));
    let mut rig = Rig::new(json!({})).await;
    rig.traffic.answer([Ok(TrafficProgress::UnderWay), broken(), Ok(TrafficProgress::Done)]);
    rig.deploy(json!([])).await;
    rig.pass(20).await;
    assert_eq!(rig.orders(), ["test 100/0", "test 100/0", "test 100/0", "production 10/90"]);
    rig.traffic.answer(std::iter::repeat_with(broken).take(5));
    rig.pass(500).await;
    let info = rig.info(&rig.deployment).await;
    assert_eq!(
        info["errorInformation"],
        json!({
            "code": "ELASTIC_LOAD_BALANCING_INVALID",
            "message": "The ELB could not be updated due to the following error: the listener is broken",
        })
    );
    let mut expected = vec!["production 100/0"; 5];
    expected.extend(["production 0/100", "test 0/100"]);
    assert_eq!(rig.orders(), expected);
    assert_eq!((rig.rollback().await["status"].as_str(), rig.primary().await.as_str()), (Some("Succeeded"), "app:1"));
}

#[test]
fn a_server_that_is_killed_while_a_function_is_asked_goes_on_waiting_for_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Arc::new(SimulatedMachine::new());
    let open = || State::open(&folder.path().join("state.redb")).expect("the state is there");
    let (id, deployment) = runtime().block_on(async {
        let mut rig = Rig::on(Arc::clone(&machine), open());
        rig.make(json!({})).await;
        rig.deploy(json!([hook("AfterInstall")])).await;
        rig.pass(60).await;
        rig.kit.emulator().controllers().rest().await;
        (rig.calls().pop().expect("it was called").1, rig.deployment)
    });
    runtime().block_on(async {
        let mut rig = Rig::on(Arc::clone(&machine), open());
        rig.deployment = deployment;
        rig.pass(60).await;
        assert_eq!((rig.status().await.as_str(), rig.calls().len()), ("InProgress", 0));
        let input =
            json!({ "deploymentId": rig.deployment, "lifecycleEventHookExecutionId": id, "status": "Succeeded" });
        rig.kit.ask("codedeploy", "PutLifecycleEventHookExecutionStatus", &input).await;
        rig.kit.pass(2 * HOUR).await;
        assert_eq!(rig.status().await, "Succeeded");
    });
}
