//! What a VPC's DNS server knows by itself. A pure look-up.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use base::Region;

use crate::sockets::TASK_SERVICES;

/// Domains that hold the hosts of VPCs and nothing else.
const INTERNAL_DOMAINS: [&str; 2] = [".ec2.internal", ".compute.internal"];
/// Domains of AWS's endpoints.
const AWS_DOMAINS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];
/// The domain of names of addresses.
const REVERSE_DOMAIN: &str = ".in-addr.arpa";

/// The names in a VPC at one moment.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    addresses: HashMap<String, Ipv4Addr>,
    names: HashMap<Ipv4Addr, String>,
}

/// The endpoints of AWS that are answered here.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    hosts: Vec<String>,
}

/// What a name turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The name of an address.
    Address(Ipv4Addr),
    /// The question for the name of an address, and its answer.
    Name(String),
    /// A name that would be known if it existed.
    Missing,
    /// A name that others know, if anybody does.
    Elsewhere,
}

impl Zone {
    /// Makes the zone of these hosts, by their full names.
    pub fn new(hosts: impl IntoIterator<Item = (String, Ipv4Addr)>) -> Self {
        let mut zone = Self::default();
        for (name, address) in hosts {
            zone.names.insert(address, name.clone());
            zone.addresses.insert(name.to_ascii_lowercase(), address);
        }
        zone
    }

    /// Looks up a name in lower case, without the dot at its end.
    pub(super) fn look_up(&self, name: &str, endpoints: &Endpoints) -> Known {
        if let Some(address) = self.addresses.get(name) {
            return Known::Address(*address);
        }
        if INTERNAL_DOMAINS.iter().any(|domain| name.ends_with(domain) || name == &domain[1..]) {
            return Known::Missing;
        }
        if let Some(known) = reverse(name).and_then(|address| self.names.get(&address)) {
            return Known::Name(known.clone());
        }
        if endpoints.has(name) { Known::Address(TASK_SERVICES) } else { Known::Elsewhere }
    }
}

impl Endpoints {
    /// Takes the first labels of the endpoints' names, such as `ecs` and `api.ecr`.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().collect() }
    }

    /// Returns whether a name is that of an endpoint: `<service>.<region>.amazonaws.com`, where a service is global also
    /// without its region, and with a registry's or a bucket's name before it.
    fn has(&self, name: &str) -> bool {
        let Some(rest) = AWS_DOMAINS.iter().find_map(|domain| name.strip_suffix(domain)) else { return false };
        let service = match rest.rsplit_once('.') {
            Some((service, region)) if is_region(region) => service,
            _ => rest,
        };
        self.names(service)
            || self.names("api.ecr") && service.strip_suffix(".dkr.ecr").is_some_and(is_account)
            || self.names("s3") && service.strip_suffix(".s3").is_some_and(|bucket| !bucket.is_empty())
    }

    fn names(&self, service: &str) -> bool {
        self.hosts.iter().any(|host| host == service)
    }
}

/// Tells `us-east-1` from a service's own label, such as `s3`.
fn is_region(label: &str) -> bool {
    label.matches('-').count() >= 2 && Region::parse(label).is_some()
}

fn is_account(label: &str) -> bool {
    label.len() == 12 && label.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads the address out of the name of its own name: `9.0.31.172.in-addr.arpa`.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let turned = name.strip_suffix(REVERSE_DOMAIN)?;
    let [d, c, b, a] = turned.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_in_the_vpc_then_among_the_endpoints() {
        let address = Ipv4Addr::new(172, 31, 0, 9);
        let zone = Zone::new([("ip-172-31-0-9.ec2.internal".to_owned(), address)]);
        let endpoints = Endpoints::new(["ecs", "api.ecr", "sts", "s3"].map(str::to_owned));
        let services = Known::Address(TASK_SERVICES);
        for (name, known) in [
            ("ip-172-31-0-9.ec2.internal", Known::Address(address)),
            ("ip-172-31-0-10.ec2.internal", Known::Missing),
            ("ip-172-31-0-9.eu-west-1.compute.internal", Known::Missing),
            ("ec2.internal", Known::Missing),
            ("example.com.ec2.internal", Known::Missing),
            ("9.0.31.172.in-addr.arpa", Known::Name("ip-172-31-0-9.ec2.internal".to_owned())),
            ("10.0.31.172.in-addr.arpa", Known::Elsewhere),
            ("ecs.us-east-1.amazonaws.com", services.clone()),
            ("ecs.cn-north-1.amazonaws.com.cn", services.clone()),
            ("sts.amazonaws.com", services.clone()),
            ("api.ecr.us-east-1.amazonaws.com", services.clone()),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", services.clone()),
            ("12345.dkr.ecr.eu-west-1.amazonaws.com", Known::Elsewhere),
            ("bucket.s3.us-east-1.amazonaws.com", services.clone()),
            ("a.bucket.s3.amazonaws.com", services.clone()),
            ("s3.us-east-1.amazonaws.com", services),
            (".s3.us-east-1.amazonaws.com", Known::Elsewhere),
            ("sqs.us-east-1.amazonaws.com", Known::Elsewhere),
            ("us-east-1.amazonaws.com", Known::Elsewhere),
            ("amazonaws.com", Known::Elsewhere),
            ("ecs.us-east-1.amazonaws.com.example", Known::Elsewhere),
            ("example.com", Known::Elsewhere),
        ] {
            assert_eq!(zone.look_up(name, &endpoints), known, "{name}");
        }
    }
}
