//! The records of Amazon EC2: VPCs, subnets, security groups, network interfaces.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::{AccountId, Arn, EniId, Region, Scope, SecurityGroupId, SubnetId, Timestamp, VpcId};
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag};

/// The default VPC's range, 172.31.0.0/16: that of every default VPC in AWS.
const DEFAULT_VPC_BASE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
const DEFAULT_VPC_PREFIX_LEN: u8 = 16;
/// A default subnet is a /20, as in AWS.
const DEFAULT_SUBNET_PREFIX_LEN: u8 = 20;
/// How many availability zones each region has here.
pub const ZONES: [char; 3] = ['a', 'b', 'c'];
/// The addresses at the start of a subnet that AWS keeps: network, router, DNS, future use. The last one is kept too.
pub const RESERVED_ADDRESSES: u32 = 4;

/// The tables of Amazon EC2.
#[derive(Debug)]
pub struct Ec2 {
    /// VPCs.
    pub vpcs: Table<VpcId, Vpc>,
    /// Subnets.
    pub subnets: Table<SubnetId, Subnet>,
    /// Security groups.
    pub security_groups: Table<SecurityGroupId, SecurityGroup>,
    /// Elastic network interfaces.
    pub network_interfaces: Table<EniId, NetworkInterface>,
    /// Who has which private address; what makes an address unique in its subnet.
    addresses: Table<(SubnetId, Ipv4Addr), AddressUse>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its address range.
    pub cidr: Cidr,
    /// Whether it is the one that the region came with.
    pub is_default: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its ARN.
    pub arn: Arn,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its address range.
    pub cidr: Cidr,
    /// Its availability zone, such as `us-east-1a`.
    pub availability_zone: String,
    /// Whether it is its zone's default.
    pub is_default: bool,
    /// Whether instances started in it get a public address.
    pub maps_public_ip: bool,
    /// Where the search for a free address begins: after the one given last, so that addresses are not reused at once.
    pub next_offset: u32,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: SecurityGroupId,
    /// Its ARN.
    pub arn: Arn,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its name; `default` for the one that the VPC came with.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An elastic network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its id.
    pub id: EniId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its availability zone.
    pub availability_zone: String,
    /// Its private address.
    pub address: Ipv4Addr,
    /// Its hardware address, `0a:…`.
    pub mac: String,
    /// Its private DNS name.
    pub private_dns_name: String,
    /// What it is for; on Fargate the ARN of the attachment.
    pub description: String,
    /// Its security groups.
    pub security_groups: Vec<SecurityGroupId>,
    /// Whether a task uses it.
    pub status: NetworkInterfaceStatus,
    /// Its attachment, while it is in use.
    pub attachment: Option<NetworkInterfaceAttachment>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Whether an interface is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkInterfaceStatus {
    /// It is there and nobody uses it.
    Available,
    /// A task uses it.
    InUse,
}

/// How an interface is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterfaceAttachment {
    /// `eni-attach-…`.
    pub id: String,
    /// When it was attached.
    pub attached_at: Timestamp,
}

/// A range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    /// The first address.
    pub base: Ipv4Addr,
    /// How many leading bits all addresses share; 0 to 32.
    pub prefix_len: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AddressUse {
    interface: EniId,
}

impl Record for Vpc {}
impl Record for Subnet {}
impl Record for SecurityGroup {}
impl Record for NetworkInterface {}
impl Record for AddressUse {}

impl Cidr {
    /// Returns how many addresses the range has.
    pub fn size(self) -> u32 {
        1_u32.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(u32::MAX)
    }

    /// Returns the address at an offset from the first one.
    pub fn nth(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(offset))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}

impl Ec2 {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            vpcs: Table::new("ec2.vpcs", journal),
            subnets: Table::new("ec2.subnets", journal),
            security_groups: Table::new("ec2.security_groups", journal),
            network_interfaces: Table::new("ec2.network_interfaces", journal),
            addresses: Table::new("ec2.addresses", journal),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.vpcs.load(journal)?;
        self.subnets.load(journal)?;
        self.security_groups.load(journal)?;
        self.network_interfaces.load(journal)?;
        self.addresses.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.network_interfaces.clear();
        self.addresses.clear();
        self.security_groups.clear();
        self.subnets.clear();
        self.vpcs.clear();
    }

    /// Makes the region's default VPC with its subnets and its security group, unless it is there. Called before
    /// anything of the region is read. Its ids follow from account and region, so they are the same in every run.
    pub fn make_default_vpc(&self, scope: &Scope) {
        let id = VpcId::new(default_id("vpc", scope, 0));
        if self.vpcs.get(scope, &id).is_some() {
            return;
        }
        for (index, zone) in (0..).zip(ZONES) {
            let subnet = default_subnet(scope, &id, index, zone);
            self.subnets.get_or_insert_with(scope, &subnet.id.clone(), || subnet);
        }
        let group = default_security_group(scope, &id);
        self.security_groups.get_or_insert_with(scope, &group.id.clone(), || group);
        // The VPC comes last: who sees it sees the rest.
        let cidr = Cidr { base: DEFAULT_VPC_BASE, prefix_len: DEFAULT_VPC_PREFIX_LEN };
        self.vpcs.get_or_insert_with(scope, &id, || Vpc { id: id.clone(), cidr, is_default: true, tags: Vec::new() });
    }

    /// Returns the security group that a VPC came with.
    pub fn default_security_group(&self, scope: &Scope, vpc: &VpcId) -> Option<Arc<SecurityGroup>> {
        let mut groups = self.security_groups.walk(scope, None).map(|(_, group)| group);
        groups.find(|group| group.vpc == *vpc && group.name == "default")
    }

    /// Takes a free address of a subnet for an interface; none if the subnet is full or does not exist.
    pub fn claim_address(&self, scope: &Scope, subnet: &SubnetId, interface: &EniId) -> Option<Ipv4Addr> {
        let row = self.subnets.get(scope, subnet)?;
        let usable = row.cidr.size().checked_sub(RESERVED_ADDRESSES + 1)?;
        // Others may search at the same time: who puts the row in has the address.
        let offset = (0..usable).map(|step| (row.next_offset + step) % usable).find(|offset| {
            let key = (subnet.clone(), row.cidr.nth(RESERVED_ADDRESSES + offset));
            let claim = || AddressUse { interface: interface.clone() };
            self.addresses.get_or_insert_with(scope, &key, claim).1
        })?;
        self.subnets.update(scope, subnet, |row| row.next_offset = (offset + 1) % usable);
        Some(row.cidr.nth(RESERVED_ADDRESSES + offset))
    }

    /// Gives an address back.
    pub fn release_address(&self, scope: &Scope, subnet: &SubnetId, address: Ipv4Addr) {
        self.addresses.remove(scope, &(subnet.clone(), address));
    }

    /// Counts the addresses of a subnet that can still be claimed.
    pub fn count_free_addresses(&self, scope: &Scope, subnet: &Subnet) -> u32 {
        let from = (subnet.id.clone(), Ipv4Addr::UNSPECIFIED);
        let used = self.addresses.walk_from(scope, from).take_while(|((id, _), _)| *id == subnet.id).count();
        let usable = subnet.cidr.size().saturating_sub(RESERVED_ADDRESSES + 1);
        usable.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }
}

fn default_subnet(scope: &Scope, vpc: &VpcId, index: u32, zone: char) -> Subnet {
    let id = SubnetId::new(default_id("subnet", scope, index));
    let vpc_cidr = Cidr { base: DEFAULT_VPC_BASE, prefix_len: DEFAULT_VPC_PREFIX_LEN };
    let size = Cidr { base: DEFAULT_VPC_BASE, prefix_len: DEFAULT_SUBNET_PREFIX_LEN }.size();
    Subnet {
        arn: Arn::new("ec2", scope, &format!("subnet/{id}")),
        id,
        vpc: vpc.clone(),
        cidr: Cidr { base: vpc_cidr.nth(index * size), prefix_len: DEFAULT_SUBNET_PREFIX_LEN },
        availability_zone: format!("{}{zone}", scope.region),
        is_default: true,
        maps_public_ip: true,
        next_offset: 0,
        tags: Vec::new(),
    }
}

fn default_security_group(scope: &Scope, vpc: &VpcId) -> SecurityGroup {
    let id = SecurityGroupId::new(default_id("sg", scope, 0));
    SecurityGroup {
        arn: Arn::new("ec2", scope, &format!("security-group/{id}")),
        id,
        vpc: vpc.clone(),
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
        tags: Vec::new(),
    }
}

/// Makes an id in EC2's form (17 hexadecimal digits) that follows from account and region: FNV-1a, 64 bits.
fn default_id(prefix: &str, scope: &Scope, index: u32) -> String {
    let Scope { account, region } = scope;
    let hash = hash_of(prefix, *account, region, index);
    format!("{prefix}-0{hash:016x}")
}

fn hash_of(prefix: &str, account: AccountId, region: &Region, index: u32) -> u64 {
    let text = format!("{prefix}/{account}/{region}/{index}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    #[test]
    fn the_default_vpc_is_the_same_each_time_and_differs_by_region() {
        let ec2 = Ec2::new(None);
        ec2.make_default_vpc(&scope());
        ec2.make_default_vpc(&scope());
        let other = Scope::new(AccountId::DEFAULT, Region::parse("eu-west-1").unwrap());
        ec2.make_default_vpc(&other);
        let vpcs = ec2.vpcs.keys();
        assert_eq!(vpcs.len(), 2);
        assert_ne!(vpcs[0].1, vpcs[1].1);
        let subnets = ec2.subnets.walk(&scope(), None).map(|(_, subnet)| subnet).collect::<Vec<_>>();
        let mut ranges = subnets.iter().map(|subnet| subnet.cidr.to_string()).collect::<Vec<_>>();
        ranges.sort();
        assert_eq!(ranges, ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
    }

    #[test]
    fn addresses_are_unique_and_run_out() {
        let ec2 = Ec2::new(None);
        ec2.make_default_vpc(&scope());
        let mut subnet = Subnet::clone(&ec2.subnets.walk(&scope(), None).next().unwrap().1);
        subnet.id = SubnetId::new("subnet-small");
        subnet.cidr = Cidr { base: Ipv4Addr::new(10, 0, 0, 0), prefix_len: 28 };
        let id = subnet.id.clone();
        ec2.subnets.insert(&scope(), &id, subnet.clone());
        let eni = EniId::new("eni-1");
        let given = (0..11).map(|_| ec2.claim_address(&scope(), &id, &eni).unwrap()).collect::<HashSet<_>>();
        assert_eq!(given.len(), 11);
        assert!(given.contains(&Ipv4Addr::new(10, 0, 0, 4)) && given.contains(&Ipv4Addr::new(10, 0, 0, 14)));
        assert_eq!(ec2.claim_address(&scope(), &id, &eni), None);
        assert_eq!(ec2.count_free_addresses(&scope(), &subnet), 0);
        ec2.release_address(&scope(), &id, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(ec2.count_free_addresses(&scope(), &subnet), 1);
        assert_eq!(ec2.claim_address(&scope(), &id, &eni), Some(Ipv4Addr::new(10, 0, 0, 7)));
    }

    #[test]
    fn a_released_address_is_not_given_again_at_once() {
        let ec2 = Ec2::new(None);
        ec2.make_default_vpc(&scope());
        let id = ec2.subnets.walk(&scope(), None).next().unwrap().0;
        let first = ec2.claim_address(&scope(), &id, &EniId::new("eni-1")).unwrap();
        ec2.release_address(&scope(), &id, first);
        assert_ne!(ec2.claim_address(&scope(), &id, &EniId::new("eni-2")), Some(first));
    }
}
