//! A service whose traffic is shifted, and the log of what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use base::ServiceRevisionId;
use controllers::{Controllers, Settings};
use serde_json::{Value, json};
use state::State;
use state::ecs::{Traffic, Weight};
use testkit::{START, ScriptedTraffic, SimulatedMachine, Testkit};

/// Where the functions of hooks are called.
pub(crate) const LAMBDA: &str = "http://lambda:9001";
/// The function that hooks call.
pub(crate) const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:check";

/// A simulated machine with an emulator on it.
pub(crate) struct Rig {
    pub(crate) machine: Arc<SimulatedMachine>,
    pub(crate) kit: Testkit,
    pub(crate) traffic: Arc<ScriptedTraffic>,
    pub(crate) log: Vec<String>,
    /// What the log has shown last.
    shown: String,
    events: usize,
}

/// Runs a scenario on a runtime of its own; what it leaves is dropped with it, as by a kill.
pub(crate) fn run<T>(scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(scenario)
}

/// Returns the address of the function.
pub(crate) fn function_url() -> String {
    format!("{LAMBDA}/2015-03-31/functions/{}/invocations", FUNCTION.replace(':', "%3A"))
}

impl Rig {
    /// Starts an emulator on a new machine.
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(SimulatedMachine::new()), State::in_memory(), Some(LAMBDA))
    }

    /// Starts an emulator.
    pub(crate) fn on(machine: Arc<SimulatedMachine>, state: Arc<State>, lambda_endpoint: Option<&str>) -> Self {
        let settings = Settings { lambda_endpoint: lambda_endpoint.map(str::to_owned), ..Settings::default() };
        let traffic = Arc::<ScriptedTraffic>::default();
        let kit = machine.start(state, Controllers::new().with(settings).with_traffic(Arc::clone(&traffic) as _));
        Self { machine, kit, traffic, log: Vec::new(), shown: String::new(), events: 0 }
    }

    /// Creates the service `web` with its first revision, and lets it become steady.
    pub(crate) async fn create(&mut self, desired: u32, deployment: Value) {
        self.kit.ecs("CreateCluster", &json!({})).await;
        self.register().await;
        let balancer = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
        self.kit
            .ecs(
                "CreateService",
                &json!({
                    "serviceName": "web",
                    "taskDefinition": "app",
                    "desiredCount": desired,
                    "launchType": "FARGATE",
                    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-09e050714e1e3b28f"]}},
                    "loadBalancers": [{
                        "targetGroupArn": format!("{balancer}:targetgroup/web/0123456789abcdef"),
                        "containerName": "app",
                        "containerPort": 80,
                        "advancedConfiguration": {
                            "alternateTargetGroupArn": format!("{balancer}:targetgroup/web/0123456789abcdef0"),
                            "productionListenerRule": format!("{balancer}:listener-rule/app/web/1/2/3"),
                            "roleArn": "arn:aws:iam::123456789012:role/lb",
                        },
                    }],
                    "deploymentConfiguration": deployment,
                }),
            )
            .await;
    }

    /// Registers one more revision of the task definition.
    pub(crate) async fn register(&self) {
        let container = json!({
            "name": "app", "image": "busybox", "portMappings": [{"containerPort": 80, "name": "web"}],
        });
        self.kit
            .ecs(
                "RegisterTaskDefinition",
                &json!({
                    "family": "app", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
                    "memory": "512", "containerDefinitions": [container],
                }),
            )
            .await;
    }

    /// Deploys a new revision.
    pub(crate) async fn update(&mut self) {
        self.register().await;
        self.kit
            .ecs("UpdateService", &json!({"service": "web", "taskDefinition": "app", "forceNewDeployment": true}))
            .await;
    }

    /// Creates the service, lets it come up without a word in the log, and deploys a new revision.
    pub(crate) async fn create_and_update(&mut self, desired: u32, deployment: Value) {
        self.create(desired, deployment).await;
        self.kit.pass(Duration::from_secs(100)).await;
        self.look().await;
        self.log.clear();
        self.traffic.take_orders();
        self.update().await;
    }

    /// Lets time pass, and logs what happens, looking each `step_s` seconds.
    pub(crate) async fn pass(&mut self, seconds: u64, step_s: u64) {
        self.look().await;
        for _ in 0..seconds.div_ceil(step_s) {
            self.kit.pass(Duration::from_secs(step_s)).await;
            self.look().await;
        }
    }

    /// Returns the current deployment of the service.
    pub(crate) async fn deployment(&self) -> Value {
        let service = self.service().await;
        let arn = &service["currentServiceDeployment"];
        let found = self.kit.ecs("DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).await;
        found["serviceDeployments"][0].clone()
    }

    /// Returns the service.
    pub(crate) async fn service(&self) -> Value {
        self.kit.ecs("DescribeServices", &json!({"services": ["web"]})).await["services"][0].clone()
    }

    /// Logs what is new.
    pub(crate) async fn look(&mut self) {
        let (service, row) = (self.service().await, self.deployment().await);
        let events = service["events"].as_array().unwrap();
        for event in events[..events.len() - self.events].iter().rev() {
            let at = event["createdAt"].as_f64().unwrap() - START.as_millis() as f64 / 1000.0;
            let text = event["message"].as_str().unwrap().trim_start_matches("(service web) ");
            self.log.push(format!("{at:06}   {}", self.plain(text, &row)));
        }
        self.events = events.len();
        for order in self.traffic.take_orders() {
            let kind = if order.traffic == Traffic::Production { "production" } else { "test" };
            let share = |(revision, weight): &(ServiceRevisionId, Weight)| format!("{revision}={}", weight.percent());
            let shares = order.shares.iter().map(share).collect::<Vec<_>>().join(" ");
            self.log.push(format!("------ {kind} traffic: {}", self.plain(&shares, &row)));
        }
        let shown = summary(&service, &row);
        if shown != self.shown {
            let at = self.now_s();
            self.log.push(format!("{at:06} {shown}"));
            self.shown = shown;
        }
    }

    fn now_s(&self) -> u64 {
        self.machine.now().since(START).as_secs()
    }

    /// Calls revisions green and blue, and tasks nothing.
    fn plain(&self, text: &str, row: &Value) -> String {
        let id = |arn: &Value| arn.as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
        let mut text = text.replace(&id(&row["targetServiceRevision"]["arn"]), "GREEN");
        for source in row["sourceServiceRevisions"].as_array().into_iter().flatten() {
            text = text.replace(&id(&source["arn"]), "BLUE");
        }
        let mut words = text.split(" (task ");
        let first = words.next().unwrap().to_owned();
        let rest = words.map(|word| word.split_once(')').map_or("", |(_, rest)| rest)).collect::<String>();
        first + &rest
    }

    /// Takes the log.
    pub(crate) fn take_log(&mut self) -> String {
        std::mem::take(&mut self.log).join("\n")
    }

    /// Returns the hook that is waited for.
    pub(crate) async fn awaited_hook(&self) -> Option<String> {
        let row = self.deployment().await;
        let hooks = row["lifecycleHookDetails"].as_array().unwrap();
        let awaited = hooks.iter().find(|hook| hook["status"] == "AWAITING_ACTION")?;
        Some(awaited["hookId"].as_str().unwrap().to_owned())
    }

    /// Tells a paused deployment how to go on.
    pub(crate) async fn tell(&self, action: &str) {
        let (row, hook) = (self.deployment().await, self.awaited_hook().await.expect("it pauses"));
        let input = json!({"serviceDeploymentArn": row["serviceDeploymentArn"], "hookId": hook, "action": action});
        self.kit.ecs("ContinueServiceDeployment", &input).await;
    }

    /// Stops the current deployment.
    pub(crate) async fn stop(&self, kind: &str) {
        let row = self.deployment().await;
        let input = json!({"serviceDeploymentArn": row["serviceDeploymentArn"], "stopType": kind});
        self.kit.ecs("StopServiceDeployment", &input).await;
    }
}

/// Shows where a deployment is, in a line: status, stage, the target's traffic (production and test), and the tasks that
/// run of the target and of the others.
fn summary(service: &Value, row: &Value) -> String {
    let target = &row["targetServiceRevision"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let green = target["runningTaskCount"].as_i64().unwrap();
    let others = service["runningCount"].as_i64().unwrap() - green;
    let reason = row["statusReason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "{} {} {}%/{}% green {green} blue {others} {}{reason}",
        text(&row["status"]),
        text(&row["lifecycleStage"]),
        target["requestedProductionTrafficWeight"],
        target["requestedTestTrafficWeight"],
        text(&service["deployments"][0]["rolloutState"]),
    )
}
