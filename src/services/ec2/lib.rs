//! Amazon EC2: its operations, as far as tasks need a network to lie in.
//!
//! Every region has its default VPC from the beginning; it is made when something is first asked of the region. Where
//! AWS's wording of an error was not seen, the file says so.

mod availability_zone;
mod filter;
mod listing;
mod network_interface;
mod resource_id;
mod security_group;
mod subnet;
mod tag;
#[cfg(test)]
mod testing;
mod violation;
mod vpc;

use state::Cx;
use wire::ApiError;

/// What a handler fails with.
type Error = api::ec2::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::ec2,
    violation = violation::words,
    routes: [
        DescribeAvailabilityZones => availability_zone::describe_availability_zones,
        DescribeNetworkInterfaces => network_interface::describe_network_interfaces,
        DescribeSecurityGroups => security_group::describe_security_groups,
        DescribeSubnets => subnet::describe_subnets,
        DescribeVpcs => vpc::describe_vpcs,
    ],
};

/// Makes an error of EC2, whose model lists none.
fn error(code: &str, message: impl Into<String>) -> Error {
    ApiError::client(code, message).into()
}

/// Refuses what was only a question whether it would be allowed: it would.
fn refuse_dry_run(dry_run: Option<bool>) -> Result<()> {
    if dry_run.unwrap_or(false) {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ApiError::new("DryRunOperation", 412, message).into());
    }
    Ok(())
}
