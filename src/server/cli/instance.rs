//! `neargate instance`: a client of the running server.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::client::{Body, Endpoint};

#[derive(Debug, Subcommand)]
pub(super) enum Instance {
    /// Give a cluster a container instance without an EC2: this machine runs its tasks
    ///
    /// It registers as the ECS agent of an EC2 instance does and lies in a subnet, with an address of its own. Tasks on it
    /// can be in the network modes awsvpc, host, bridge and none.
    Add {
        /// The cluster, by name or ARN
        #[arg(long)]
        cluster: String,
        /// CPU units for tasks; 1024 are one processor [default: 2048]
        #[arg(long, value_name = "UNITS")]
        cpu: Option<u32>,
        /// Memory for tasks, in MiB [default: 3884]
        #[arg(long, value_name = "MIB")]
        memory: Option<u32>,
        /// An attribute of its own, for placement constraints; may be given ten times
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
        /// The subnet it lies in [default: one of the default VPC]
        #[arg(long)]
        subnet: Option<String>,
        /// The EC2 instance type it says it is [default: t3.medium]
        #[arg(long, value_name = "TYPE")]
        instance_type: Option<String>,
        /// The capacity provider it belongs to
        #[arg(long, value_name = "NAME")]
        capacity_provider: Option<String>,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the container instances that this machine runs tasks for
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deregister a container instance that this machine runs tasks for
    #[command(visible_alias = "rm")]
    Remove {
        /// The instance: its id, its ARN or the id `i-...` of its machine
        #[arg(value_name = "INSTANCE")]
        name: String,
        /// End the tasks that are on it
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Instance {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (answer, json) = match self {
            Self::Add {
                cluster,
                cpu,
                memory,
                attributes,
                subnet,
                instance_type,
                capacity_provider,
                endpoint,
                json,
            } => {
                let mut wanted = Map::new();
                wanted.insert("cluster".to_owned(), json!(cluster));
                let members = [
                    ("cpu", cpu.map(Value::from)),
                    ("memory", memory.map(Value::from)),
                    ("subnet", subnet.map(Value::from)),
                    ("instanceType", instance_type.map(Value::from)),
                    ("capacityProvider", capacity_provider.map(Value::from)),
                ];
                wanted.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
                if !attributes.is_empty() {
                    wanted.insert("attributes".to_owned(), attributes.iter().map(|text| attribute(text)).collect());
                }
                (endpoint.send("POST", "instances", None, Body::Json(&wanted.into()))?, json)
            }
            Self::List { endpoint, json } => (endpoint.send("GET", "instances", None, Body::None)?, json),
            Self::Remove { name, force, endpoint, json } => {
                let path = if force { "instances?force=true" } else { "instances" };
                (endpoint.send("DELETE", path, Some(&name), Body::None)?, json)
            }
        };
        print(&answer, json);
        Ok(())
    }
}

fn attribute(text: &str) -> (String, Value) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), json!(value)),
        None => (text.to_owned(), Value::Null),
    }
}

/// Prints instances as a table, or as the server's own JSON.
#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn print(answer: &Value, json: bool) {
    if json {
        println!("{answer:#}");
        return;
    }
    let instances = answer["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    if instances.is_empty() {
        println!("this machine runs tasks for no container instance; `neargate instance add` makes one");
        return;
    }
    println!("{:32}  {:19}  {:10}  {:15}  TASKS  CLUSTER", "INSTANCE", "MACHINE", "STATUS", "ADDRESS");
    for instance in instances {
        let text = |member: &str| instance[member].as_str().unwrap_or("-").to_owned();
        let arn = text("containerInstanceArn");
        println!(
            "{:32}  {:19}  {:10}  {:15}  {:5}  {}",
            arn.rsplit('/').next().unwrap_or(&arn),
            text("ec2InstanceId"),
            text("status"),
            text("privateIpAddress"),
            instance["tasks"].as_u64().unwrap_or_default(),
            text("cluster"),
        );
    }
}
