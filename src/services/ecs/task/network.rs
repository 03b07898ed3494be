//! The network configuration of RunTask, against the task definition's network mode.

use api::ecs as api;
use base::{SecurityGroupId, SubnetId};
use state::Cx;
use state::ecs::{NetworkMode, TaskNetwork};

use crate::{Result, invalid};

const SUBNETS_MAX: usize = 16;
const SECURITY_GROUPS_MAX: usize = 5;

/// Checks the configuration and completes it: without security groups, the VPC's default one.
pub(crate) fn parse(
    cx: &Cx,
    mode: NetworkMode,
    configuration: Option<api::NetworkConfiguration>,
) -> Result<Option<TaskNetwork>> {
    let awsvpc = configuration.and_then(|configuration| configuration.awsvpc_configuration);
    let Some(awsvpc) = awsvpc else {
        return if mode == NetworkMode::Awsvpc {
            Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
        } else {
            Ok(None)
        };
    };
    if mode != NetworkMode::Awsvpc {
        return Err(invalid("Network Configuration is not valid for the given networkMode of this task definition."));
    }
    let (subnets, groups) = (awsvpc.subnets.unwrap_or_default(), awsvpc.security_groups.unwrap_or_default());
    if subnets.is_empty() {
        return Err(invalid("subnets can not be empty."));
    }
    // The limits are the model's documentation; texts unverified.
    if subnets.len() > SUBNETS_MAX {
        return Err(invalid(format!("subnets can have at most {SUBNETS_MAX} items.")));
    }
    if groups.len() > SECURITY_GROUPS_MAX {
        return Err(invalid(format!("securityGroups can have at most {SECURITY_GROUPS_MAX} items.")));
    }
    resolve(cx, &subnets, &groups, awsvpc.assign_public_ip == Some(api::AssignPublicIp::Enabled)).map(Some)
}

fn resolve(cx: &Cx, subnets: &[String], groups: &[String], assigns_public_ip: bool) -> Result<TaskNetwork> {
    let ec2 = &cx.state.ec2;
    ec2.make_default_vpc(cx.scope());
    let mut found = Vec::new();
    for id in subnets {
        let subnet = ec2.subnets.get(cx.scope(), &SubnetId::new(id.as_str())).ok_or_else(|| {
            invalid(format!(
                "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: \
                 InvalidSubnetID.NotFound)"
            ))
        })?;
        found.push(subnet);
    }
    let vpc = &found.first().ok_or_else(|| invalid("subnets can not be empty."))?.vpc;
    if found.iter().any(|subnet| subnet.vpc != *vpc) {
        // Text unverified.
        return Err(invalid("The subnets must belong to the same VPC."));
    }
    let mut security_groups = Vec::new();
    for id in groups {
        let group = ec2.security_groups.get(cx.scope(), &SecurityGroupId::new(id.as_str())).ok_or_else(|| {
            invalid(format!(
                "Error retrieving security group information for [{id}]: The security group '{id}' does not exist \
                 (ErrorCode: InvalidGroup.NotFound)"
            ))
        })?;
        if group.vpc != *vpc {
            return Err(invalid(format!(
                "Security group {id} does not appear to belong to the same VPC as the input subnets."
            )));
        }
        security_groups.push(group.id.clone());
    }
    if security_groups.is_empty() {
        security_groups.extend(ec2.default_security_group(cx.scope(), vpc).map(|group| group.id.clone()));
    }
    Ok(TaskNetwork {
        subnets: found.iter().map(|subnet| subnet.id.clone()).collect(),
        security_groups,
        assigns_public_ip,
    })
}
