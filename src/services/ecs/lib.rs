//! Amazon ECS: its operations.
//!
//! Handlers check, write what is wanted, and answer; controllers do the rest. Nothing here knows the node, and no
//! request waits for a container. The wording of errors is AWS's; each file names where it was seen.

mod cluster;
mod document;
mod page;
mod tags;
mod task;
mod task_definition;
mod violation;

use state::Cx;

/// What a handler fails with.
type Error = api::ecs::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ecs,
    violation = violation::words,
    routes: [
        CreateCluster => cluster::create_cluster,
        DeleteCluster => cluster::delete_cluster,
        DeregisterTaskDefinition => task_definition::deregister_task_definition,
        DescribeClusters => cluster::describe_clusters,
        DescribeTaskDefinition => task_definition::describe_task_definition,
        DescribeTasks => task::describe_tasks,
        ListClusters => cluster::list_clusters,
        ListTaskDefinitionFamilies => task_definition::list_task_definition_families,
        ListTaskDefinitions => task_definition::list_task_definitions,
        ListTasks => task::list_tasks,
        RegisterTaskDefinition => task_definition::register_task_definition,
        RunTask => task::run_task,
        StopTask => task::stop_task,
    ],
};

/// Makes the error that most checks of a task definition, and many others, end in.
fn client(message: impl Into<String>) -> Error {
    Error::Client(message.into())
}

/// Makes the error of a parameter that cannot be.
fn invalid(message: impl Into<String>) -> Error {
    Error::InvalidParameter(message.into())
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| invalid(format!("{name} can not be blank.")))
}
