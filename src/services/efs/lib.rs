//! Amazon EFS: its operations. What a file system holds is a folder of the node; nothing here touches it. File systems,
//! access points and mount targets are available, and gone, at once.

mod access_point;
mod error;
mod file_system;
mod identity;
mod mount_target;
mod policy;
mod tags;

use state::Cx;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::efs,
    violation = error::violation,
    routes: [
        CreateAccessPoint => access_point::create_access_point,
        CreateFileSystem => file_system::create_file_system,
        CreateMountTarget => mount_target::create_mount_target,
        DeleteAccessPoint => access_point::delete_access_point,
        DeleteFileSystem => file_system::delete_file_system,
        DeleteFileSystemPolicy => policy::delete_file_system_policy,
        DeleteMountTarget => mount_target::delete_mount_target,
        DescribeAccessPoints => access_point::describe_access_points,
        DescribeBackupPolicy => policy::describe_backup_policy,
        DescribeFileSystemPolicy => policy::describe_file_system_policy,
        DescribeFileSystems => file_system::describe_file_systems,
        DescribeLifecycleConfiguration => policy::describe_lifecycle_configuration,
        DescribeMountTargetSecurityGroups => mount_target::describe_mount_target_security_groups,
        DescribeMountTargets => mount_target::describe_mount_targets,
        ListTagsForResource => tags::list_tags_for_resource,
        ModifyMountTargetSecurityGroups => mount_target::modify_mount_target_security_groups,
        PutBackupPolicy => policy::put_backup_policy,
        PutFileSystemPolicy => policy::put_file_system_policy,
        PutLifecycleConfiguration => policy::put_lifecycle_configuration,
        TagResource => tags::tag_resource,
        UntagResource => tags::untag_resource,
        UpdateFileSystem => file_system::update_file_system,
        UpdateFileSystemProtection => policy::update_file_system_protection,
    ],
};
