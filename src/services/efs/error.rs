//! EFS's errors. Each names its code a second time, in `ErrorCode`; the wordings are those of its own messages where they
//! were seen, and (unverified) otherwise.

use api::efs as api;
use wire::check::violations_text;
use wire::{ApiError, Violation};

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) = $variant:ident($payload:ident), $code:literal, $message:expr;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name($($argument: $type),*) -> api::Error {
            api::Error::$variant(api::$payload {
                error_code: Some($code.to_owned()),
                message: Some($message),
            })
        })*
    };
}

errors! {
    file_system_not_found(id: &str) = FileSystemNotFound(FileSystemNotFound), "FileSystemNotFound",
        format!("File system '{id}' does not exist.");
    access_point_not_found(id: &str) = AccessPointNotFound(AccessPointNotFound), "AccessPointNotFound",
        format!("Access Point '{id}' does not exist.");
    mount_target_not_found(id: &str) = MountTargetNotFound(MountTargetNotFound), "MountTargetNotFound",
        format!("Mount target '{id}' does not exist.");
    subnet_not_found(id: &str) = SubnetNotFound(SubnetNotFound), "SubnetNotFound",
        format!("The subnet ID '{id}' does not exist");
    security_group_not_found(id: &str) = SecurityGroupNotFound(SecurityGroupNotFound), "SecurityGroupNotFound",
        format!("The security group '{id}' does not exist");
    policy_not_found(id: &str) = PolicyNotFound(PolicyNotFound), "PolicyNotFound",
        format!("Policy for file system '{id}' does not exist.");
    invalid_policy() = InvalidPolicy(InvalidPolicyException), "InvalidPolicyException",
        "The policy is not valid JSON.".to_owned();
    file_system_in_use(id: &str) = FileSystemInUse(FileSystemInUse), "FileSystemInUse",
        format!("The file system '{id}' has mount targets created in it.");
    mount_target_conflict() = MountTargetConflict(MountTargetConflict), "MountTargetConflict",
        "mount target already exists in this AZ".to_owned();
    mount_target_elsewhere() = MountTargetConflict(MountTargetConflict), "MountTargetConflict",
        "requested subnet for new mount target is not in the same VPC as existing mount targets".to_owned();
    no_free_addresses(subnet: &str) = NoFreeAddressesInSubnet(NoFreeAddressesInSubnet), "NoFreeAddressesInSubnet",
        format!("There are no free IP addresses in the subnet '{subnet}'.");
    zones_mismatch() = AvailabilityZonesMismatch(AvailabilityZonesMismatch), "AvailabilityZonesMismatch",
        "The Availability Zone of the subnet is not that of the file system.".to_owned();
    bad_request(message: &str) = BadRequest(BadRequest), "BadRequest", message.to_owned();
    invalid_token() = BadRequest(BadRequest), "BadRequest", "The pagination token is not valid.".to_owned();
    validation(message: &str) = Validation(ValidationException), "ValidationException", message.to_owned();
}

pub(crate) fn file_system_already_exists(id: &str, token: &str) -> api::Error {
    api::Error::FileSystemAlreadyExists(api::FileSystemAlreadyExists {
        error_code: Some("FileSystemAlreadyExists".to_owned()),
        message: Some(format!("File system '{id}' already exists with creation token '{token}'")),
        file_system_id: Some(id.to_owned()),
    })
}

pub(crate) fn access_point_already_exists(id: &str, token: &str) -> api::Error {
    api::Error::AccessPointAlreadyExists(api::AccessPointAlreadyExists {
        error_code: Some("AccessPointAlreadyExists".to_owned()),
        message: Some(format!("Access point '{id}' already exists with client token '{token}'")),
        access_point_id: Some(id.to_owned()),
    })
}

/// Words what the model forbids.
pub(crate) fn violation(found: &[Violation]) -> ApiError {
    bad_request(&violations_text(found)).into()
}
