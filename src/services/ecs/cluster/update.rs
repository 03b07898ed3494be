//! UpdateCluster and UpdateClusterSettings.

use api::ecs as api;
use state::Cx;
use state::ecs::Cluster;

use super::view::{self, Include, Moment};
use super::{attachments, configuration};
use crate::{Result, document, invalid, required};

/// Changes the parts of a cluster that the request names; the others stay.
pub(crate) async fn update_cluster(cx: &Cx, input: api::UpdateClusterRequest) -> Result<api::UpdateClusterResponse> {
    let cluster = super::find(cx, Some(&required(input.cluster, "cluster")?))?;
    let settings = input.settings.unwrap_or_default();
    configuration::check_settings(&settings)?;
    let configured = configuration::check(input.configuration)?;
    let defaults = input.service_connect_defaults;
    let is_moved = defaults.is_some();
    let changed = super::change(cx, &cluster.name, |row| {
        if !settings.is_empty() {
            row.settings = Some(document::write(&merge(row, settings)));
        }
        if let Some(configured) = configured {
            row.configuration = Some(document::write(&configured));
        }
        if let Some(defaults) = defaults {
            row.service_connect_defaults = configuration::service_connect_defaults(defaults.namespace);
            attachments::attach(cx, row);
        }
        Ok(())
    })?;
    let moment = if is_moved { Moment::Changed { gone: Vec::new() } } else { Moment::AtRest };
    Ok(api::UpdateClusterResponse { cluster: Some(view::cluster(cx, &changed, Include::UPDATED, moment)) })
}

/// Changes the settings of a cluster.
pub(crate) async fn update_cluster_settings(
    cx: &Cx,
    input: api::UpdateClusterSettingsRequest,
) -> Result<api::UpdateClusterSettingsResponse> {
    let cluster = super::find(cx, Some(&required(input.cluster, "cluster")?))?;
    let settings = required(input.settings, "settings")?;
    if settings.is_empty() {
        // Text unverified.
        return Err(invalid("settings can not be empty."));
    }
    configuration::check_settings(&settings)?;
    let changed = super::change(cx, &cluster.name, |row| {
        row.settings = Some(document::write(&merge(row, settings)));
        Ok(())
    })?;
    let cluster = view::cluster(cx, &changed, Include::UPDATED, Moment::AtRest);
    Ok(api::UpdateClusterSettingsResponse { cluster: Some(cluster) })
}

/// Puts settings in the place of those of the same name.
fn merge(cluster: &Cluster, settings: Vec<api::ClusterSetting>) -> Vec<api::ClusterSetting> {
    let mut all: Vec<api::ClusterSetting> = cluster.settings.as_ref().map(document::read_list).unwrap_or_default();
    for setting in settings {
        match all.iter_mut().find(|known| known.name == setting.name) {
            Some(known) => *known = setting,
            None => all.push(setting),
        }
    }
    all
}
