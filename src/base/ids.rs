//! Identifiers: their types, and where new ones come from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A task: 32 lower-case hexadecimal digits.
    TaskId
}
id! {
    /// A container of a task: its Fargate runtime id, `<task id>-<10 digits>`.
    ContainerId
}
id! {
    /// A container instance: 32 lower-case hexadecimal digits.
    ContainerInstanceId
}
id! {
    /// An elastic network interface, `eni-…`.
    EniId
}
id! {
    /// A VPC, `vpc-…`.
    VpcId
}
id! {
    /// A subnet, `subnet-…`.
    SubnetId
}
id! {
    /// A security group, `sg-…`.
    SecurityGroupId
}

id! {
    /// A revision of a service, and the deployment of it or the task set: 19 digits, as in `ecs-svc/…`.
    ServiceRevisionId
}
id! {
    /// A service deployment: 21 characters that a URL can hold.
    ServiceDeploymentId
}

/// A source of random numbers.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Returns 128 bits.
    fn next(&self) -> u128;
}

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the kernel gives random numbers once it has booted");
        u128::from_le_bytes(bytes)
    }
}

/// Counts from one, so that tests know every identifier beforehand.
#[derive(Debug, Default)]
pub struct SequentialEntropy(AtomicU64);

impl Entropy for SequentialEntropy {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Makes new identifiers in the forms that AWS gives them.
#[derive(Clone, Debug)]
pub struct Ids(Arc<dyn Entropy>);

impl Ids {
    /// Draws identifiers from `entropy`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self(entropy)
    }

    /// Draws identifiers from the kernel.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemEntropy))
    }

    /// Makes a random UUID (version 4), with hyphens.
    pub fn uuid(&self) -> String {
        let bits = self.0.next() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Makes a task id: 32 hexadecimal digits.
    pub fn task(&self) -> TaskId {
        TaskId::new(format!("{:032x}", self.0.next()))
    }

    /// Makes the runtime id of a container of `task`: the task id and ten digits.
    pub fn container(&self, task: &TaskId) -> ContainerId {
        ContainerId::new(format!("{task}-{:010}", self.0.next() % 10_000_000_000))
    }

    /// Makes a container instance id: 32 hexadecimal digits.
    pub fn container_instance(&self) -> ContainerInstanceId {
        ContainerInstanceId::new(format!("{:032x}", self.0.next()))
    }

    /// Makes a network interface id.
    pub fn eni(&self) -> EniId {
        EniId::new(self.ec2("eni"))
    }

    /// Makes the id of a revision of a service: 19 digits, the first of which is not 0.
    pub fn service_revision(&self) -> ServiceRevisionId {
        const LEAST: u128 = 1_000_000_000_000_000_000;
        ServiceRevisionId::new((LEAST + self.0.next() % (9 * LEAST)).to_string())
    }

    /// Makes the id of a service deployment: 21 characters of the URL-safe base 64 alphabet.
    pub fn service_deployment(&self) -> ServiceDeploymentId {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = self.0.next();
        let letter = |place: u32| ALPHABET[usize::try_from((bits >> (6 * place)) & 0x3f).unwrap_or_default()];
        ServiceDeploymentId::new((0..21).rev().map(|place| char::from(letter(place))).collect::<String>())
    }

    /// Makes an id in the form of EC2: the prefix and 17 hexadecimal digits.
    pub fn ec2(&self, prefix: &str) -> String {
        format!("{prefix}-{:017x}", self.0.next() & ((1 << 68) - 1))
    }

    /// Returns 128 random bits, for what has no form of its own.
    pub fn bits(&self) -> u128 {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_forms_of_aws() {
        let ids = Ids::new(Arc::new(SequentialEntropy::default()));
        assert_eq!(ids.uuid(), "00000000-0000-4000-8000-000000000001");
        let task = ids.task();
        assert_eq!(task.as_str(), "00000000000000000000000000000002");
        assert_eq!(ids.container(&task).as_str(), "00000000000000000000000000000002-0000000003");
        assert_eq!(ids.eni().as_str(), "eni-00000000000000004");
        assert_eq!(ids.service_revision().as_str(), "1000000000000000005");
        assert_eq!(ids.service_deployment().as_str(), "AAAAAAAAAAAAAAAAAAAAG");
    }

    #[test]
    fn the_kernel_gives_different_ids_each_time() {
        assert_ne!(Ids::system().task(), Ids::system().task());
    }
}
