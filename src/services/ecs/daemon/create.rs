//! CreateDaemon.

use api::ecs as api;
use state::Cx;
use state::ecs::{Creation, Daemon, DaemonDeployment, DaemonKey, DaemonName, DaemonRevision};

use super::rollout::{self, Settings};
use super::{reference, task_definition};
use crate::{Result, cluster, document, invalid, required, tags};

/// The longest client token.
const CLIENT_TOKEN_CHARS_MAX: usize = 36;

/// Makes a daemon and its first deployment. The same client token makes it only once.
pub(crate) async fn create_daemon(cx: &Cx, input: api::CreateDaemonRequest) -> Result<api::CreateDaemonResponse> {
    let creation = creation(&input)?;
    let cluster = cluster::find(cx, input.cluster_arn.as_deref())?;
    let name = DaemonName::parse(&required(input.daemon_name, "daemonName")?);
    let name = name.ok_or_else(|| invalid("The daemon name contains invalid characters."))?;
    let tags = tags::parse(input.tags)?;
    let configuration = rollout::configuration(input.deployment_configuration)?;
    let capacity_providers =
        rollout::capacity_providers(cx, &cluster, &required(input.capacity_provider_arns, "capacityProviderArns")?)?;
    let definition =
        task_definition::find_active(cx, &required(input.daemon_task_definition_arn, "daemonTaskDefinitionArn")?)?;
    let settings = Settings {
        definition: &definition,
        capacity_providers,
        propagates_tags: input.propagate_tags == Some(api::DaemonPropagateTags::Daemon),
        has_managed_tags: input.enable_ecs_managed_tags.unwrap_or(false),
        is_exec_enabled: input.enable_execute_command.unwrap_or(false),
    };
    let key = DaemonKey { cluster: cluster.name.clone(), name };
    let revision = rollout::revision(cx, &key, settings);
    let deployment = rollout::deployment(cx, &cluster.arn, &revision.key, Vec::new(), &configuration);
    let daemon = Daemon {
        arn: reference::daemon_arn(cx.scope(), &key),
        key,
        cluster_arn: cluster.arn.clone(),
        created_at: cx.now(),
        updated_at: cx.now(),
        is_deleting: false,
        tags,
        definition: definition.name.clone(),
        revision: revision.key.clone(),
        deployment: deployment.key.clone(),
        creation,
    };
    let daemon = put(cx, daemon, revision, deployment)?;
    Ok(api::CreateDaemonResponse {
        daemon_arn: Some(daemon.arn.to_string()),
        status: Some(api::DaemonStatus::Active),
        created_at: Some(daemon.created_at.into()),
        deployment_arn: Some(reference::deployment_arn(cx.scope(), &daemon.deployment).to_string()),
    })
}

/// Puts a daemon in, unless there is one of its name. One that the same request made is returned.
fn put(cx: &Cx, daemon: Daemon, revision: DaemonRevision, deployment: DaemonDeployment) -> Result<Daemon> {
    let ecs = &cx.state.ecs;
    let key = daemon.key.clone();
    // Revision and deployment come first: a daemon never names what is not there.
    ecs.daemon_revisions.insert(cx.scope(), &revision.key.clone(), revision);
    ecs.daemon_deployments.insert(cx.scope(), &deployment.key.clone(), deployment);
    let (known, is_new) = ecs.daemons.get_or_insert_with(cx.scope(), &key, || daemon.clone());
    if is_new {
        return Ok(daemon);
    }
    let replaced = ecs.daemons.try_update(cx.scope(), &key, |row| {
        if !reference::is_gone(cx, row) {
            return Err(());
        }
        *row = daemon.clone();
        Ok(())
    });
    if replaced.is_some_and(|replaced| replaced.is_ok()) {
        return Ok(daemon);
    }
    ecs.daemon_revisions.remove(cx.scope(), &daemon.revision);
    ecs.daemon_deployments.remove(cx.scope(), &daemon.deployment);
    let known = ecs.daemons.get(cx.scope(), &key).unwrap_or(known);
    if known.is_deleting {
        return Err(invalid("Unable to Start a daemon that is still Draining."));
    }
    if known.creation.client_token.is_none() || known.creation != daemon.creation {
        return Err(invalid("Creation of daemon was not idempotent."));
    }
    Ok(Daemon::clone(&known))
}

fn creation(input: &api::CreateDaemonRequest) -> Result<Creation> {
    let token = input.client_token.as_deref().unwrap_or_default();
    if token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid(format!(
            "clientToken must have at most {CLIENT_TOKEN_CHARS_MAX} ASCII characters from 33 to 126."
        )));
    }
    Ok(Creation { client_token: input.client_token.clone(), request: document::digest(input) })
}
