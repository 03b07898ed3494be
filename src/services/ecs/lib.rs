//! Amazon ECS: its operations.
//!
//! Handlers check, write what is wanted, and answer; controllers do the rest. Nothing here knows the node, and no
//! request waits for a container. The wording of errors is AWS's; each file names where it was seen.

mod account_setting;
mod agent;
mod attribute;
mod capacity_provider;
mod capacity_provider_strategy;
mod cluster;
mod container_instance;
mod daemon;
mod execute_command;
mod express_gateway_service;
mod page;
mod service;
mod service_deployment;
mod service_revision;
mod tags;
mod task;
mod task_definition;
mod task_set;
mod violation;

use state::Cx;
use wire::document;

/// What a handler fails with.
type Error = api::ecs::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ecs,
    violation = violation::words,
    routes: [
        ContinueServiceDeployment => service_deployment::continue_service_deployment,
        CreateCapacityProvider => capacity_provider::create_capacity_provider,
        CreateCluster => cluster::create_cluster,
        CreateDaemon => daemon::create_daemon,
        CreateExpressGatewayService => express_gateway_service::create_express_gateway_service,
        CreateService => service::create_service,
        CreateTaskSet => task_set::create_task_set,
        DeleteAccountSetting => account_setting::delete_account_setting,
        DeleteAttributes => attribute::delete_attributes,
        DeleteCapacityProvider => capacity_provider::delete_capacity_provider,
        DeleteCluster => cluster::delete_cluster,
        DeleteDaemon => daemon::delete_daemon,
        DeleteDaemonTaskDefinition => daemon::delete_daemon_task_definition,
        DeleteExpressGatewayService => express_gateway_service::delete_express_gateway_service,
        DeleteService => service::delete_service,
        DeleteTaskDefinitions => task_definition::delete_task_definitions,
        DeleteTaskSet => task_set::delete_task_set,
        DeregisterContainerInstance => container_instance::deregister_container_instance,
        DeregisterTaskDefinition => task_definition::deregister_task_definition,
        DescribeCapacityProviders => capacity_provider::describe_capacity_providers,
        DescribeClusters => cluster::describe_clusters,
        DescribeContainerInstances => container_instance::describe_container_instances,
        DescribeDaemon => daemon::describe_daemon,
        DescribeDaemonDeployments => daemon::describe_daemon_deployments,
        DescribeDaemonRevisions => daemon::describe_daemon_revisions,
        DescribeDaemonTaskDefinition => daemon::describe_daemon_task_definition,
        DescribeExpressGatewayService => express_gateway_service::describe_express_gateway_service,
        DescribeServiceDeployments => service_deployment::describe_service_deployments,
        DescribeServiceRevisions => service_revision::describe_service_revisions,
        DescribeServices => service::describe_services,
        DescribeTaskDefinition => task_definition::describe_task_definition,
        DescribeTaskSets => task_set::describe_task_sets,
        DescribeTasks => task::describe_tasks,
        DiscoverPollEndpoint => agent::discover_poll_endpoint,
        ExecuteCommand => execute_command::execute_command,
        GetTaskProtection => task::get_task_protection,
        ListAccountSettings => account_setting::list_account_settings,
        ListAttributes => attribute::list_attributes,
        ListClusters => cluster::list_clusters,
        ListContainerInstances => container_instance::list_container_instances,
        ListDaemonDeployments => daemon::list_daemon_deployments,
        ListDaemonTaskDefinitions => daemon::list_daemon_task_definitions,
        ListDaemons => daemon::list_daemons,
        ListServiceDeployments => service_deployment::list_service_deployments,
        ListServices => service::list_services,
        ListServicesByNamespace => service::list_services_by_namespace,
        ListTagsForResource => tags::list_tags_for_resource,
        ListTaskDefinitionFamilies => task_definition::list_task_definition_families,
        ListTaskDefinitions => task_definition::list_task_definitions,
        ListTasks => task::list_tasks,
        PutAccountSetting => account_setting::put_account_setting,
        PutAccountSettingDefault => account_setting::put_account_setting_default,
        PutAttributes => attribute::put_attributes,
        PutClusterCapacityProviders => cluster::put_cluster_capacity_providers,
        RegisterContainerInstance => container_instance::register_container_instance,
        RegisterDaemonTaskDefinition => daemon::register_daemon_task_definition,
        RegisterTaskDefinition => task_definition::register_task_definition,
        RunTask => task::run_task,
        StartTask => task::start_task,
        StopServiceDeployment => service_deployment::stop_service_deployment,
        StopTask => task::stop_task,
        SubmitAttachmentStateChanges => agent::submit_attachment_state_changes,
        SubmitContainerStateChange => agent::submit_container_state_change,
        SubmitTaskStateChange => agent::submit_task_state_change,
        TagResource => tags::tag_resource,
        UntagResource => tags::untag_resource,
        UpdateCapacityProvider => capacity_provider::update_capacity_provider,
        UpdateCluster => cluster::update_cluster,
        UpdateClusterSettings => cluster::update_cluster_settings,
        UpdateContainerAgent => container_instance::update_container_agent,
        UpdateContainerInstancesState => container_instance::update_container_instances_state,
        UpdateDaemon => daemon::update_daemon,
        UpdateExpressGatewayService => express_gateway_service::update_express_gateway_service,
        UpdateService => service::update_service,
        UpdateServicePrimaryTaskSet => task_set::update_service_primary_task_set,
        UpdateTaskProtection => task::update_task_protection,
        UpdateTaskSet => task_set::update_task_set,
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
