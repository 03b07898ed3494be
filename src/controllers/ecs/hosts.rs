//! What a container knows of hosts by name: what its task knows, and what its definition adds.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use node::ContainerFile;
use state::ecs::ContainerDefinition;

/// Where programs look for hosts.
const PATH: &str = "/etc/hosts";

/// What every container of a task knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    /// The lines of /etc/hosts.
    pub(super) lines: Vec<String>,
    /// Where the containers of the task find each other, if they may know each other by name.
    pub(super) linked: Option<Ipv4Addr>,
}

/// Writes the file of a container that knows more than its task; none if it does not.
///
/// Docker gives each container an address; here those of a task share one, so that all links lead to that. The variables of
/// the environment that Docker makes of links are not there.
pub(super) fn file(hosts: &Hosts, definition: &ContainerDefinition) -> Option<ContainerFile> {
    let links = hosts.linked.into_iter().flat_map(|address| {
        definition.links.iter().map(move |link| {
            let alias = link.alias.as_ref().filter(|alias| **alias != link.container);
            let names = alias.into_iter().chain([&link.container]).map(String::as_str).collect::<Vec<_>>();
            format!("{address} {}", names.join(" "))
        })
    });
    let extra = definition.extra_hosts.iter().map(|host| format!("{} {}", host.value, host.name));
    let added = extra.chain(links).collect::<Vec<_>>();
    if added.is_empty() {
        return None;
    }
    let content = hosts.lines.iter().chain(&added).map(|line| format!("{line}\n")).collect::<String>();
    Some(ContainerFile { destination: PathBuf::from(PATH), content: content.into_bytes() })
}

#[cfg(test)]
mod tests {
    use state::ecs::{KeyValue, Link};

    use super::super::samples;
    use super::*;

    #[test]
    fn a_container_knows_those_it_links_to_and_further_hosts() {
        let link = |container: &str, alias: Option<&str>| Link {
            container: container.to_owned(),
            alias: alias.map(str::to_owned),
        };
        let definition = ContainerDefinition {
            links: vec![link("db", Some("database")), link("cache", None), link("log", Some("log"))],
            extra_hosts: vec![KeyValue { name: "printer".to_owned(), value: "10.0.0.9".to_owned() }],
            ..samples::container("app")
        };
        let shown = |linked, definition: &ContainerDefinition| {
            let hosts = Hosts { lines: vec!["127.0.0.1 localhost".to_owned()], linked };
            file(&hosts, definition).map(|file| String::from_utf8(file.content).unwrap())
        };
        let address = Some(Ipv4Addr::new(172, 17, 0, 16));
        assert_eq!(
            shown(address, &definition).unwrap(),
            "127.0.0.1 localhost\n10.0.0.9 printer\n172.17.0.16 database db\n172.17.0.16 cache\n172.17.0.16 log\n"
        );
        assert_eq!(shown(None, &definition).unwrap(), "127.0.0.1 localhost\n10.0.0.9 printer\n");
        assert_eq!(shown(address, &samples::container("app")), None);
    }
}
