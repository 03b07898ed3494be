//! The names of ECS resources.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of a cluster, service, family, container or volume.
const NAME_CHARS_MAX: usize = 255;

fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses 1 to 255 letters, digits, hyphens and underscores.
            pub fn parse(text: &str) -> Option<Self> {
                is_name(text).then(|| Self(text.into()))
            }

            /// Returns the name.
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

name! {
    /// The name of a cluster.
    ClusterName
}
name! {
    /// The name of a capacity provider.
    CapacityProviderName
}
name! {
    /// The name that the revisions of a task definition share.
    Family
}
name! {
    /// The name of a daemon, unique in its cluster.
    DaemonName
}
name! {
    /// The name of a service, unique in its cluster.
    ServiceName
}

impl Family {
    /// Returns where the revisions of the family lie among all.
    pub fn revisions(&self) -> (Bound<TaskDefinitionName>, Bound<TaskDefinitionName>) {
        let name = |revision| TaskDefinitionName { family: self.clone(), revision };
        (Bound::Included(name(0)), Bound::Included(name(u32::MAX)))
    }

    /// Returns where the revisions lie of all families whose name begins with a text.
    pub fn revisions_of_prefix(prefix: &str) -> (Bound<TaskDefinitionName>, Bound<TaskDefinitionName>) {
        // No name has a character that sorts after a brace.
        let name = |text: String| TaskDefinitionName { family: Self(text.into()), revision: 0 };
        (Bound::Included(name(prefix.to_owned())), Bound::Excluded(name(format!("{prefix}{{"))))
    }
}

impl DaemonName {
    /// The name that sorts before all others.
    pub fn first() -> Self {
        Self("-".into())
    }
}

impl ServiceName {
    /// The name that sorts before all others.
    pub fn first() -> Self {
        Self("-".into())
    }
}

impl ClusterName {
    /// The cluster of a request that names none.
    pub fn default_cluster() -> Self {
        Self("default".into())
    }
}

/// One revision of a family. Listings sort by family and then by revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskDefinitionName {
    /// The family.
    pub family: Family,
    /// The revision, from 1.
    pub revision: u32,
}

impl fmt::Display for TaskDefinitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_hyphens_and_underscores() {
        let long = "a".repeat(255);
        for good in ["a", "A-b_9", &long] {
            assert!(ClusterName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a:1", &"a".repeat(256)] {
            assert!(ClusterName::parse(bad).is_none(), "{bad}");
        }
    }
}
