//! A task on the simulated node, and the endpoint that answers it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, ManualClock};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use server::Emulator;
use state::ecs::Task;
use task_metadata::{Api, ClockQuality, Parts, Peer, TaskMetadata};
use testkit::{START, Testkit};

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/app";

/// An endpoint, and a task of two containers that asks it.
pub(crate) struct Bench {
    pub(crate) kit: Testkit,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) task: Arc<Task>,
    metadata: TaskMetadata,
    peer: Peer,
}

struct Calls(Arc<Emulator>);

#[async_trait]
impl Api for Calls {
    async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.0.call(request).await
    }
}

impl Bench {
    /// Starts the task, with these members of the definition besides.
    pub(crate) async fn new(more: &Value) -> Self {
        let kit = Testkit::simulated();
        kit.ecs("CreateCluster", &json!({})).await;
        kit.ask("logs", "CreateLogGroup", &json!({ "logGroupName": "/ecs/test" })).await;
        let mut definition = json!({
            "family": "app",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "containerDefinitions": [
                {
                    "name": "web",
                    "image": "httpd:2.4",
                    "cpu": 128,
                    "memory": 256,
                    "portMappings": [{ "containerPort": 80 }],
                    "dockerLabels": { "team": "a&b" },
                    "mountPoints": [{ "sourceVolume": "shared", "containerPath": "/srv" }],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": "/ecs/test",
                            "awslogs-region": "us-east-1",
                            "awslogs-stream-prefix": "test",
                        },
                    },
                },
                {
                    "name": "helper",
                    "image": "busybox",
                    "essential": false,
                    "environment": [{ "name": "NEARGATE_SIMULATE", "value": "exit 3 after 1s" }],
                },
            ],
            "volumes": [{ "name": "shared", "host": {} }],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            definition[name] = value.clone();
        }
        kit.ecs("RegisterTaskDefinition", &definition).await;
        let reply =
            kit.call_form("ec2", "DescribeSubnets", "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a");
        let reply = reply.await.text();
        let (_, subnet) = reply.split_once("<subnetId>").unwrap();
        let (subnet, _) = subnet.split_once('<').unwrap();
        let output = kit
            .ecs(
                "RunTask",
                &json!({
                    "taskDefinition": "app",
                    "launchType": "FARGATE",
                    "networkConfiguration": { "awsvpcConfiguration": { "subnets": [subnet] } },
                    "tags": [{ "key": "stage", "value": "test" }],
                }),
            )
            .await;
        let arn = output["tasks"][0]["taskArn"].clone();
        kit.wait_for("the task", async || {
            let output = kit.ecs("DescribeTasks", &json!({ "tasks": [arn] })).await;
            (output["tasks"][0]["lastStatus"] == "RUNNING").then_some(())
        })
        .await;
        kit.advance(Duration::from_secs(2)).await;
        let state = kit.emulator().state();
        let (scope, key) = state.ecs.tasks.keys().remove(0);
        let task = state.ecs.tasks.get(&scope, &key).unwrap();
        let eni = task.eni.clone().unwrap();
        let interface = state.ec2.network_interfaces.get(&scope, &eni.interface.unwrap()).unwrap();
        let peer = Peer { vpc: interface.vpc.clone(), address: interface.address };
        let clock = Arc::new(ManualClock::new(START.plus(Duration::from_secs(60))));
        let metadata = TaskMetadata::new(Parts {
            state: Arc::clone(state),
            node: kit.emulator().node().clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            clock_quality: || ClockQuality { error_bound_ms: 0.5, is_synchronized: true },
            api: Arc::new(Calls(Arc::clone(kit.emulator()))),
        });
        Self { kit, clock, task, metadata, peer }
    }

    /// Returns the id of a container.
    pub(crate) fn id(&self, name: &str) -> String {
        self.task.containers.iter().find(|container| container.name == name).unwrap().id.to_string()
    }

    /// Asks as the task. `{id}` in a path is the id of its first container.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.ask_as(&self.peer, method, path, body).await
    }

    /// Asks from another address of the VPC.
    pub(crate) async fn ask_as_stranger(&self, path: &str) -> String {
        let stranger = Peer { vpc: self.peer.vpc.clone(), address: Ipv4Addr::new(172, 31, 0, 200) };
        self.ask_as(&stranger, "GET", path, "").await
    }

    /// Asks from the same address in another VPC.
    pub(crate) async fn ask_from_another_vpc(&self, path: &str) -> String {
        let stranger = Peer { vpc: base::VpcId::new("vpc-other"), address: self.peer.address };
        self.ask_as(&stranger, "GET", path, "").await
    }

    async fn ask_as(&self, peer: &Peer, method: &str, path: &str, body: &str) -> String {
        let path = path.replace("{id}", &self.id("web"));
        let request = Request::builder().method(method).uri(path).body(Bytes::copy_from_slice(body.as_bytes()));
        let response = self.metadata.answer(peer, &request.unwrap()).await;
        let content_type = response.headers()[http::header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        assert_eq!(content_type == "application/json", is_json, "{content_type}: {text}");
        format!("{} {text}", response.status().as_u16())
    }

    /// Lets so much time pass for the endpoint alone.
    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}
