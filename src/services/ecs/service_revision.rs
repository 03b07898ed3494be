//! The revisions that services have had.

use api::ecs as api;
use base::{Arn, ServiceRevisionId};
use state::Cx;
use state::ecs::{ServiceRevision, ServiceRevisionKey, TaskDefinition};

use crate::service_deployment::{check_count, missing, parse_history};
use crate::{Result, document, required, service};

/// Describes revisions by their ARNs. Unknown ones are failures, not errors.
pub(crate) async fn describe_service_revisions(
    cx: &Cx,
    input: api::DescribeServiceRevisionsRequest,
) -> Result<api::DescribeServiceRevisionsResponse> {
    let wanted = required(input.service_revision_arns, "serviceRevisionArns")?;
    check_count(wanted.len(), "serviceRevisionArns")?;
    let (mut revisions, mut failures) = (Vec::new(), Vec::new());
    for arn in wanted {
        let key = parse_history(cx, &arn, "service-revision")?;
        let key = key.map(|(service, id)| ServiceRevisionKey { service, id: ServiceRevisionId::new(id) });
        match key.and_then(|key| cx.state.ecs.service_revisions.get(cx.scope(), &key)) {
            Some(revision) => revisions.push(view(cx, &revision)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(api::DescribeServiceRevisionsResponse { service_revisions: Some(revisions), failures: Some(failures) })
}

fn view(cx: &Cx, revision: &ServiceRevision) -> api::ServiceRevision {
    let (key, workload) = (&revision.key.service, &revision.workload);
    let definition = cx.state.ecs.task_definitions.get(cx.scope(), &workload.definition);
    let arn = |path: String| Some(Arn::new("ecs", cx.scope(), &path).to_string());
    api::ServiceRevision {
        service_revision_arn: Some(revision.arn.to_string()),
        service_arn: arn(format!("service/{}/{}", key.cluster, key.name)),
        cluster_arn: arn(format!("cluster/{}", key.cluster)),
        task_definition: Some(workload.definition_arn.to_string()),
        capacity_provider_strategy: service::strategy(&workload.capacity),
        launch_type: service::launch_type(&workload.capacity),
        platform_version: service::resolved_platform_version(workload),
        platform_family: service::platform_family(workload),
        load_balancers: Some(service::load_balancers(Some(workload))),
        service_registries: Some(service::service_registries(Some(workload))),
        network_configuration: service::network_configuration(workload),
        container_images: definition.as_deref().map(images),
        guard_duty_enabled: Some(false),
        service_connect_configuration: workload.service_connect.as_ref().map(document::read),
        volume_configurations: workload.volumes.as_ref().map(document::read_list),
        fargate_ephemeral_storage: None,
        created_at: Some(revision.created_at.into()),
        vpc_lattice_configurations: workload.vpc_lattice.as_ref().map(document::read_list),
        resolved_configuration: None,
        ecs_managed_resources: None,
    }
}

/// Lists the images by name. Their digests are not resolved for a service as a whole here, but by each task.
fn images(definition: &TaskDefinition) -> Vec<api::ContainerImage> {
    let image = |container: &state::ecs::ContainerDefinition| api::ContainerImage {
        container_name: Some(container.name.clone()),
        image_digest: None,
        image: Some(container.image.clone()),
    };
    definition.containers.iter().map(image).collect()
}
