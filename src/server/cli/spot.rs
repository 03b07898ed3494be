//! `neargate spot`: a client of the running server.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::client::{Body, Endpoint};

#[derive(Debug, Subcommand)]
pub(super) enum Spot {
    /// Interrupt tasks on FARGATE_SPOT, as AWS does when it takes capacity back
    ///
    /// Each is under notice at once: its containers get SIGTERM, and have their stopTimeout, 30 to 120 seconds, before they
    /// are killed. A service then starts another task.
    Interrupt {
        /// The tasks, by id or ARN; all of FARGATE_SPOT if none is named
        #[arg(value_name = "TASK")]
        tasks: Vec<String>,
        /// Only tasks of this cluster, by name or ARN
        #[arg(long)]
        cluster: Option<String>,
        #[command(flatten)]
        endpoint: Endpoint,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Spot {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Interrupt { tasks, cluster, endpoint, json } = self;
        let mut wanted = Map::new();
        if !tasks.is_empty() {
            wanted.insert("tasks".to_owned(), json!(tasks));
        }
        if let Some(cluster) = cluster {
            wanted.insert("cluster".to_owned(), json!(cluster));
        }
        print(&endpoint.send("POST", "spot/interrupt", None, Body::Json(&wanted.into()))?, json);
        Ok(())
    }
}

/// Prints the tasks that were interrupted as a table, or as the server's own JSON.
#[allow(clippy::print_stdout, reason = "it is what the user asked for")]
fn print(answer: &Value, json: bool) {
    if json {
        println!("{answer:#}");
        return;
    }
    let tasks = answer["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tasks.is_empty() {
        println!("no task is on FARGATE_SPOT; none was interrupted");
        return;
    }
    let last = |task: &Value, member: &str| {
        let arn = task[member].as_str().unwrap_or_default();
        arn.rsplit('/').next().unwrap_or(arn).to_owned()
    };
    let width = tasks.iter().map(|task| last(task, "taskArn").len()).max().unwrap_or(0).max("TASK".len());
    println!("{:width$}  CLUSTER", "TASK");
    for task in tasks {
        println!("{:width$}  {}", last(task, "taskArn"), last(task, "clusterArn"));
    }
}
