//! An emulator with a cluster, a log group and an image, and the words that scenarios are told in.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Testkit;

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the simulated node.
    Simulated,
    /// On this machine.
    Fargate,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simulated => "simulated",
            Self::Fargate => "fargate",
        })
    }
}

pub(crate) const BOTH: &[Place] = &[Place::Simulated, Place::Fargate];
/// For what needs a clock or a delay that only the simulated node has.
pub(crate) const SIMULATED: &[Place] = &[Place::Simulated];

/// For what needs processes, sockets or a disk.
pub(crate) const FARGATE: &[Place] = &[Place::Fargate];

pub(crate) const IMAGE: &str = "busybox:test";
pub(crate) const LOG_GROUP: &str = "/ecs/test";
const PROGRAMS: [&str; 12] =
    ["cat", "dd", "echo", "env", "hostname", "id", "pwd", "seq", "sh", "sleep", "true", "wget"];

/// Runs a scenario to its end, and asserts that it has left nothing behind.
pub(crate) fn run<S: AsyncFnOnce(&Bench)>(place: Place, scenario: S) {
    let runtime = match place {
        Place::Simulated => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        Place::Fargate => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    runtime.unwrap().block_on(async {
        let bench = Bench::new(place).await;
        scenario(&bench).await;
        bench.finish().await;
    });
}

pub(crate) struct Bench {
    pub(crate) kit: Testkit,
    folder: TempDir,
}

impl Bench {
    async fn new(place: Place) -> Self {
        let folder = tempfile::Builder::new().prefix("neargate-test-").tempdir().unwrap();
        let kit = match place {
            Place::Simulated => Testkit::simulated(),
            Place::Fargate => Testkit::fargate(&folder.path().join("data")).unwrap(),
        };
        let bench = Self { kit, folder };
        if place == Place::Fargate {
            bench.load_image().await;
        }
        bench.kit.ecs("CreateCluster", &json!({})).await;
        bench.kit.ask("logs", "CreateLogGroup", &json!({ "logGroupName": LOG_GROUP })).await;
        bench
    }

    async fn load_image(&self) {
        let root = self.folder.path().join("root");
        for folder in ["bin", "etc", "tmp", "srv"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for program in PROGRAMS {
            symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\napp:x:1001:\n").unwrap();
        let archive = self.folder.path().join("root.tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        tar.follow_symlinks(false);
        tar.append_dir_all(".", &root).unwrap();
        tar.into_inner().unwrap();
        self.kit.emulator().node().images.load(&archive, Some(IMAGE)).await.unwrap();
    }

    /// Registers a definition of these containers and starts a task of it; returns the task's ARN.
    pub(crate) async fn start(&self, containers: &[Value]) -> String {
        self.register(containers).await;
        self.run_task(&json!({})).await
    }

    /// Registers the next revision of the family `app`.
    pub(crate) async fn register(&self, containers: &[Value]) {
        let input = json!({
            "family": "app",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "containerDefinitions": containers,
        });
        self.kit.ecs("RegisterTaskDefinition", &input).await;
    }

    /// Starts a task of the family `app`, with these members besides; returns its ARN.
    pub(crate) async fn run_task(&self, more: &Value) -> String {
        let output = self.kit.ecs("RunTask", &self.run_task_input(more).await).await;
        assert_eq!(output["failures"], json!([]), "{output}");
        text(&output["tasks"][0]["taskArn"])
    }

    pub(crate) async fn run_task_input(&self, more: &Value) -> Value {
        let mut input = json!({
            "taskDefinition": "app",
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [self.subnet().await] } },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        input
    }

    /// Returns the first of the default VPC's subnets, as EC2 tells it.
    pub(crate) async fn subnet(&self) -> String {
        let filter = "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1a";
        let reply = self.kit.call_form("ec2", "DescribeSubnets", filter).await.text();
        element(&reply, "subnetId").unwrap_or_else(|| panic!("there is no subnet: {reply}"))
    }

    /// Describes a task.
    pub(crate) async fn task(&self, arn: &str) -> Value {
        let output = self.kit.ecs("DescribeTasks", &json!({ "tasks": [arn] })).await;
        assert_eq!(output["failures"], json!([]), "{arn}");
        output["tasks"][0].clone()
    }

    /// Waits until a task has come to a status, and describes it.
    pub(crate) async fn until(&self, arn: &str, status: &str) -> Value {
        let what = format!("{status} of {arn}");
        let look = async || {
            let task = self.task(arn).await;
            // What has ended does not come back, and says why.
            assert!(task["lastStatus"] != "STOPPED" || status == "STOPPED", "{what} will not come: {task}");
            (task["lastStatus"] == status).then_some(task)
        };
        self.kit.wait_for(&what, look).await
    }

    pub(crate) async fn until_stopped(&self, arn: &str) -> Value {
        self.until(arn, "STOPPED").await
    }

    /// Asks a task to stop.
    pub(crate) async fn stop(&self, arn: &str) {
        self.kit.ecs("StopTask", &json!({ "task": arn })).await;
    }

    /// Reads what a container of a task has in its log; nothing if there is no such stream.
    pub(crate) async fn log(&self, container: &str, task: &str) -> Vec<String> {
        let stream = format!("test/{container}/{}", id_of(task));
        let input = json!({ "logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": true });
        let reply = self.kit.call("logs", "GetLogEvents", &input).await;
        let events = reply.json()["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| text(&event["message"])).collect()
    }

    /// Waits until a container has written this line.
    pub(crate) async fn until_line(&self, container: &str, task: &str, line: &str) {
        let what = format!("`{line}` of {container}");
        let look = async || self.log(container, task).await.iter().any(|known| known == line).then_some(());
        self.kit.wait_for(&what, look).await;
    }

    /// Asserts that nothing of the node is left.
    pub(crate) async fn assert_node_is_empty(&self) {
        let node = self.kit.emulator().node();
        assert_eq!(node.runtime.sandboxes().await.unwrap(), [], "sandboxes are left");
        assert_eq!(node.network.sandboxes().await.unwrap(), [], "interfaces are left");
        if let Some(simulated) = self.kit.node() {
            assert_eq!(simulated.leftovers(), Vec::<String>::new());
        }
    }

    /// Stops every task, ends the emulator, and asserts that nothing is left on this machine.
    async fn finish(self) {
        let Self { kit, folder } = self;
        let left = kit.emulator().reset().await;
        left.unwrap();
        kit.shutdown().await;
        let name = folder.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(name), "a mount is left");
        let tasks = folder.path().join("data/tasks");
        // What is kept ready for the next task is no task's, and goes with the node.
        let is_of_task = |entry: &fs::DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
        let entries =
            fs::read_dir(&tasks).map(|entries| entries.flatten().filter(is_of_task).map(|entry| entry.path()));
        let left = entries.map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "folders are left");
        let tasks = tasks.to_str().unwrap();
        let is_of_task = |command: &String| !command.contains(&format!("{tasks}/."));
        let left = processes_that_mention(name).into_iter().filter(is_of_task).collect::<Vec<_>>();
        assert_eq!(left, Vec::<String>::new(), "processes are left");
    }
}

/// Defines an essential container that runs a shell command on this machine, and plays a script on the simulated node.
pub(crate) fn container(name: &str, command: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": IMAGE,
        "entryPoint": ["/bin/sh", "-c"],
        "command": [command],
        "environment": [{ "name": "NEARGATE_SIMULATE", "value": script }],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": LOG_GROUP,
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "test",
            },
        },
    })
}

/// Defines an essential container with these members besides.
pub(crate) fn container_with(name: &str, command: &str, script: &str, more: &Value) -> Value {
    let mut container = container(name, command, script);
    for (member, value) in more.as_object().into_iter().flatten() {
        container[member] = value.clone();
    }
    container
}

/// Defines a container that runs until it is asked to end, and then ends as a shell does.
pub(crate) fn server(name: &str) -> Value {
    container(name, "trap 'exit 143' TERM; echo ready; sleep 600 & wait", "output ready")
}

/// Takes the id off a task's ARN.
pub(crate) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

/// Takes the text of the first element of a name out of XML.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.to_owned())
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn processes_that_mention(text: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let commands = all.filter_map(|entry| {
        let is_process = entry.file_name().to_str()?.parse::<u32>().is_ok();
        is_process.then(|| fs::read_to_string(Path::new(&entry.path()).join("cmdline")).ok())?
    });
    commands.map(|command| command.replace('\0', " ")).filter(|command| command.contains(text)).collect()
}
