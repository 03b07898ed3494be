//! Service Connect: which named ports of a service others reach, and as what.

use api::ecs as api;
use state::ecs::Cluster;

use super::load_balancer::named_port;
use crate::{Result, document, invalid};

/// How many aliases a port may have.
const CLIENT_ALIASES_MAX: usize = 1;
/// The longest name that clients use.
const DNS_NAME_CHARS_MAX: usize = 127;
/// The longest discovery name.
const DISCOVERY_NAME_CHARS_MAX: usize = 64;

/// Checks a configuration against the task definition, and returns the namespace: the request's own, or else the
/// cluster's default one.
pub(super) fn check(
    cluster: &Cluster,
    shown: &api::TaskDefinition,
    configuration: Option<&api::ServiceConnectConfiguration>,
) -> Result<Option<String>> {
    let Some(configuration) = configuration.filter(|configuration| configuration.enabled == Some(true)) else {
        return Ok(None);
    };
    let of_cluster = || {
        let defaults = cluster.service_connect_defaults.as_ref()?;
        document::read::<api::ClusterServiceConnectDefaults>(defaults).namespace
    };
    let namespace = configuration.namespace.clone().filter(|name| !name.is_empty()).or_else(of_cluster);
    let namespace = namespace.ok_or_else(|| invalid("Namespace is missing."))?;
    for service in configuration.services.iter().flatten() {
        let port = service.port_name.as_deref().unwrap_or_default();
        if named_port(shown, port).is_none() {
            return Err(invalid(format!(
                "portName({port}) does not refer to any named PortMapping in the container definitions."
            )));
        }
        if !service.discovery_name.as_deref().is_none_or(is_discovery_name) {
            // The rule is ServiceConnectService's documentation; text unverified.
            return Err(invalid("The discovery name that you provided is invalid."));
        }
        check_aliases(service.client_aliases.as_deref().unwrap_or_default())?;
    }
    if configuration.access_log_configuration.is_some() && configuration.log_configuration.is_none() {
        // The rule is ServiceConnectAccessLogConfiguration's documentation; text unverified.
        return Err(invalid("A logConfiguration is required when accessLogConfiguration is specified."));
    }
    Ok(Some(namespace))
}

fn check_aliases(aliases: &[api::ServiceConnectClientAlias]) -> Result<()> {
    if aliases.len() > CLIENT_ALIASES_MAX {
        return Err(invalid(format!("{} clientAliases exceeds the max limit of {CLIENT_ALIASES_MAX}.", aliases.len())));
    }
    if aliases.iter().filter_map(|alias| alias.dns_name.as_deref()).all(is_dns_name) {
        return Ok(());
    }
    Err(invalid("The DNS name that you provided is invalid."))
}

fn is_discovery_name(name: &str) -> bool {
    (1..=DISCOVERY_NAME_CHARS_MAX).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(is_name_byte)
}

fn is_dns_name(name: &str) -> bool {
    (1..=DNS_NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| is_name_byte(b) || b == b'.')
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'
}
