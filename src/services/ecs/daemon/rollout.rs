//! A new revision of a daemon, and the deployment that brings it: what CreateDaemon, UpdateDaemon and DeleteDaemon make.

use std::collections::HashSet;
use std::time::Duration;

use api::ecs as api;
use base::{Arn, Timestamp};
use state::Cx;
use state::ecs::{
    CapacityProviderStatus, CapacitySource, Cluster, DaemonDeployment, DaemonDeploymentKey, DaemonKey, DaemonRevision,
    DaemonRevisionKey, DaemonTaskDefinition,
};

use super::reference;
use crate::capacity_provider::{self, Found};
use crate::{Error, Result, document, invalid};

/// The longest bake time, in minutes: AWS::ECS::Daemon's documentation.
const BAKE_TIME_MINUTES_MAX: i32 = 1440;

/// What of a request makes up a revision.
pub(super) struct Settings<'a> {
    pub(super) definition: &'a DaemonTaskDefinition,
    pub(super) capacity_providers: Vec<Arn>,
    pub(super) propagates_tags: bool,
    pub(super) has_managed_tags: bool,
    pub(super) is_exec_enabled: bool,
}

/// Makes a revision of a daemon.
pub(super) fn revision(cx: &Cx, daemon: &DaemonKey, settings: Settings<'_>) -> DaemonRevision {
    let key = DaemonRevisionKey { daemon: daemon.clone(), id: cx.ids.service_revision().to_string() };
    DaemonRevision {
        arn: reference::revision_arn(cx.scope(), &key),
        key,
        created_at: cx.now(),
        definition_arn: settings.definition.arn.clone(),
        images: settings.definition.images.clone(),
        capacity_providers: settings.capacity_providers,
        propagates_tags: settings.propagates_tags,
        has_managed_tags: settings.has_managed_tags,
        is_exec_enabled: settings.is_exec_enabled,
    }
}

/// Makes a deployment of a revision in place of `sources`.
pub(super) fn deployment(
    cx: &Cx,
    cluster_arn: &Arn,
    target: &DaemonRevisionKey,
    sources: Vec<DaemonRevisionKey>,
    configuration: &api::DaemonDeploymentConfiguration,
) -> DaemonDeployment {
    let now = cx.now();
    let key = DaemonDeploymentKey { daemon: target.daemon.clone(), id: deployment_id(now, cx.ids.bits()) };
    let minutes = u64::try_from(configuration.bake_time_in_minutes.unwrap_or(0)).unwrap_or(0);
    DaemonDeployment {
        arn: reference::deployment_arn(cx.scope(), &key),
        key,
        cluster_arn: cluster_arn.clone(),
        target: target.clone(),
        sources,
        configuration: document::write(configuration),
        bake_time: Duration::from_secs(60 * minutes),
        created_at: now,
        stopped_at: None,
    }
}

/// Checks the configuration of a deployment, and completes it.
pub(super) fn configuration(
    configuration: Option<api::DaemonDeploymentConfiguration>,
) -> Result<api::DaemonDeploymentConfiguration> {
    let mut configuration = configuration.unwrap_or_default();
    if configuration.drain_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return Err(invalid("drainPercent must be between 0.0 and 100.0."));
    }
    let minutes = *configuration.bake_time_in_minutes.get_or_insert(0);
    if !(0..=BAKE_TIME_MINUTES_MAX).contains(&minutes) {
        return Err(invalid(format!("bakeTimeInMinutes must be between 0 and {BAKE_TIME_MINUTES_MAX}.")));
    }
    let alarms = configuration.alarms.get_or_insert_default();
    let names = alarms.alarm_names.get_or_insert_default();
    let is_enabled = *alarms.enable.get_or_insert(false);
    if is_enabled && names.is_empty() {
        return Err(invalid("alarmNames can not be empty when alarms are enabled."));
    }
    Ok(configuration)
}

/// Checks that the capacity providers of a request have managed instances in the cluster.
pub(super) fn capacity_providers(cx: &Cx, cluster: &Cluster, arns: &[String]) -> Result<Vec<Arn>> {
    if arns.is_empty() {
        return Err(invalid("capacityProviderArns can not be empty."));
    }
    let mut found = Vec::new();
    let mut names = HashSet::new();
    for text in arns {
        let arn = Arn::parse(text).ok_or_else(|| invalid("The ARN provided is invalid."))?;
        let name = arn.resource_of("capacity-provider").filter(|_| arn.service() == "ecs");
        let name = name.ok_or_else(|| invalid("The ARN provided is invalid."))?;
        if arn.account() != Some(cx.scope().account) {
            return Err(invalid("AccountIDs mismatch"));
        }
        if !names.insert(name.to_owned()) {
            return Err(invalid(format!("The capacity provider {name} is specified more than once.")));
        }
        let is_here = arn.region().as_ref() == Some(&cx.scope().region);
        let made = match capacity_provider::find(cx, name).filter(|_| is_here) {
            Some(Found::Made(made)) if made.status == CapacityProviderStatus::Active => made,
            Some(Found::BuiltIn(_)) => return Err(not_managed(name)),
            Some(Found::Made(_)) | None => {
                return Err(invalid(
                    "The specified capacity provider was not found. Specify a valid name or ARN and try again.",
                ));
            }
        };
        match &made.source {
            CapacitySource::ManagedInstances { cluster: of, .. } if *of == cluster.name => found.push(arn),
            CapacitySource::ManagedInstances { .. } => {
                return Err(invalid(format!("The capacity provider {name} is not associated with the cluster.")));
            }
            CapacitySource::AutoScalingGroup { .. } => return Err(not_managed(name)),
        }
    }
    Ok(found)
}

fn not_managed(name: &str) -> Error {
    invalid(format!(
        "The capacity provider {name} is not supported. Daemons are only supported for Amazon ECS Managed Instances \
         capacity providers."
    ))
}

/// Makes an id of the usual form such that a later one sorts before an earlier one: listings begin with the newest.
fn deployment_id(now: Timestamp, bits: u128) -> String {
    /// The characters of a URL, in the order of ASCII.
    const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    const TIME_BITS: u32 = 42;
    let time = u128::try_from(now.as_millis()).unwrap_or(0) & ((1 << TIME_BITS) - 1);
    let time = ((1 << TIME_BITS) - 1) - time;
    let bits = (time << 84) | (bits & ((1 << 84) - 1));
    let letter = |place: u32| ALPHABET[usize::try_from((bits >> (6 * place)) & 0x3f).unwrap_or_default()];
    (0..21).rev().map(|place| char::from(letter(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_later_deployments_sort_first() {
        let ids = [0, 1, 63, 64, 1_767_225_600_000, 1_767_225_600_001]
            .map(|ms| deployment_id(Timestamp::from_millis(ms), u128::from(ms.unsigned_abs())));
        assert!(ids.iter().all(|id| id.len() == 21), "{ids:?}");
        assert!(ids.is_sorted_by(|earlier, later| earlier > later), "{ids:?}");
    }

    #[test]
    fn a_configuration_is_completed_or_refused() {
        let given = |drain_percent, bake_time_in_minutes| {
            Some(api::DaemonDeploymentConfiguration { drain_percent, bake_time_in_minutes, alarms: None })
        };
        let complete = configuration(None).unwrap();
        assert_eq!((complete.drain_percent, complete.bake_time_in_minutes), (None, Some(0)));
        assert_eq!(complete.alarms.unwrap().enable, Some(false));
        for (percent, minutes, is_good) in [
            (Some(0.0), None, true),
            (Some(100.0), Some(1440), true),
            (Some(100.1), None, false),
            (Some(-0.1), None, false),
            (Some(f64::NAN), None, false),
            (None, Some(-1), false),
            (None, Some(1441), false),
        ] {
            assert_eq!(configuration(given(percent, minutes)).is_ok(), is_good, "{percent:?} {minutes:?}");
        }
    }
}
