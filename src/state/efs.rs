//! The records of Amazon EFS: file systems, access points, mount targets.

use std::sync::Arc;

use base::{Arn, EniId, SecurityGroupId, SubnetId, Timestamp, VpcId};
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Document, Record, Table, Tag};

/// The tables of Amazon EFS.
#[derive(Debug)]
pub struct Efs {
    /// File systems, by id.
    pub file_systems: Table<String, FileSystem>,
    /// Access points, by id.
    pub access_points: Table<String, AccessPoint>,
    /// Mount targets, by id.
    pub mount_targets: Table<String, MountTarget>,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Its id, `fs-…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// What makes a repeated request for it known as such.
    pub creation_token: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// `generalPurpose` or `maxIO`.
    pub performance_mode: String,
    /// `bursting`, `provisioned` or `elastic`.
    pub throughput_mode: String,
    /// The throughput that is provisioned, in MiB/s.
    pub provisioned_throughput_mibps: Option<f64>,
    /// The key that it is encrypted with; none if it is not.
    pub kms_key: Option<String>,
    /// The one zone that it is kept in; none for all of the region's.
    pub availability_zone: Option<String>,
    /// `ENABLED` or `DISABLED`.
    pub backup_status: String,
    /// `ENABLED` or `DISABLED`.
    pub overwrite_protection: String,
    /// Its resource policy, as it was put.
    pub policy: Option<String>,
    /// What moves its files to cheaper storage, as it was put.
    pub lifecycle: Option<Document>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An access point: a way into a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPoint {
    /// Its id, `fsap-…`.
    pub id: String,
    /// Its ARN.
    pub arn: Arn,
    /// Its file system.
    pub file_system: String,
    /// What makes a repeated request for it known as such.
    pub client_token: String,
    /// The user that everything done through it is done as; none for the caller's own.
    pub posix_user: Option<PosixUser>,
    /// The folder that it shows as the root.
    pub root_directory: RootDirectory,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A user and its groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosixUser {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its further groups.
    pub secondary_gids: Vec<u32>,
}

/// A folder of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDirectory {
    /// Its path, `/` for the file system's own root.
    pub path: String,
    /// How it is made when it is first used; without it, one that is missing makes mounting fail.
    pub creation: Option<Creation>,
}

/// How a folder is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    /// Its owner.
    pub owner_uid: u32,
    /// Its owner's group.
    pub owner_gid: u32,
    /// Its permissions, three or four octal digits.
    pub permissions: String,
}

/// A mount target: where a file system is reached from a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountTarget {
    /// Its id, `fsmt-…`.
    pub id: String,
    /// Its file system.
    pub file_system: String,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its availability zone.
    pub availability_zone: String,
    /// Its address in the subnet.
    pub address: std::net::Ipv4Addr,
    /// Its network interface.
    pub network_interface: EniId,
    /// Its security groups.
    pub security_groups: Vec<SecurityGroupId>,
}

impl Record for FileSystem {}
impl Record for AccessPoint {}
impl Record for MountTarget {}

impl PosixUser {
    /// Returns the user and group, for whoever makes files in its name.
    pub fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }
}

impl Creation {
    /// Returns the permissions as a number.
    pub fn mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.permissions, 8).ok()
    }
}

impl Efs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            file_systems: Table::new("efs.file_systems", journal),
            access_points: Table::new("efs.access_points", journal),
            mount_targets: Table::new("efs.mount_targets", journal),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.file_systems.load(journal)?;
        self.access_points.load(journal)?;
        self.mount_targets.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.access_points.clear();
        self.mount_targets.clear();
        self.file_systems.clear();
    }
}
