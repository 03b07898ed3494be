//! Which containers wait for which others.

use api::ecs as api;
use state::ecs::{Condition, Dependency};

use super::parse;

/// Reads the dependencies of each container, in the definition's order. Whoever links to a container waits for its start, as
/// with Docker. So does whoever writes to a log router, so that nothing is written before it listens; and as containers end
/// in the reverse order, it ends last.
pub(super) fn of(containers: &[api::ContainerDefinition]) -> Vec<Vec<Dependency>> {
    let mut all = containers.iter().map(stated).collect::<Vec<_>>();
    let name = |index: usize| containers[index].name.clone().unwrap_or_default();
    let Some(router) = containers.iter().position(|container| container.firelens_configuration.is_some()) else {
        return all;
    };
    for index in 0..containers.len() {
        let log = containers[index].log_configuration.as_ref();
        let is_routed = log.is_some_and(|log| log.log_driver == Some(api::LogDriver::Awsfirelens));
        let is_known = all[index].iter().any(|dependency| dependency.container == name(router));
        // A router that waits for whom it serves would otherwise wait for itself.
        if is_routed && index != router && !is_known && !depends(containers, &all, router, index) {
            all[index].push(Dependency { container: name(router), condition: Condition::Start });
        }
    }
    all
}

fn stated(container: &api::ContainerDefinition) -> Vec<Dependency> {
    let mut all = explicit(container);
    for link in container.links.iter().flatten().map(|link| parse::link(link)) {
        if all.iter().all(|known| known.container != link.container) {
            all.push(Dependency { container: link.container, condition: Condition::Start });
        }
    }
    all
}

fn explicit(container: &api::ContainerDefinition) -> Vec<Dependency> {
    let read = |dependency: &api::ContainerDependency| {
        let condition = match dependency.condition.as_ref()? {
            api::ContainerCondition::Start => Condition::Start,
            api::ContainerCondition::Complete => Condition::Complete,
            api::ContainerCondition::Success => Condition::Success,
            api::ContainerCondition::Healthy => Condition::Healthy,
            api::ContainerCondition::Other(_) => return None,
        };
        Some(Dependency { container: dependency.container_name.clone()?, condition })
    };
    container.depends_on.iter().flatten().filter_map(read).collect()
}

/// Returns whether one container waits for another, be it through others.
fn depends(containers: &[api::ContainerDefinition], all: &[Vec<Dependency>], who: usize, on: usize) -> bool {
    let (mut seen, mut left) = (vec![false; containers.len()], vec![who]);
    while let Some(next) = left.pop() {
        if next == on {
            return true;
        }
        if std::mem::replace(&mut seen[next], true) {
            continue;
        }
        let names = all[next].iter().map(|dependency| dependency.container.as_str());
        left.extend(names.filter_map(|name| containers.iter().position(|known| known.name.as_deref() == Some(name))));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes containers of letters: `a` writes to a router, `r` is one; after it the names that it waits for.
    fn containers(texts: &[&str]) -> Vec<api::ContainerDefinition> {
        let wait = |name: char| api::ContainerDependency {
            container_name: Some(name.to_string()),
            condition: Some(api::ContainerCondition::Complete),
        };
        let container = |text: &&str| api::ContainerDefinition {
            name: Some(text[..1].to_owned()),
            depends_on: Some(text[1..].chars().map(wait).collect()),
            firelens_configuration: text.starts_with('r').then(api::FirelensConfiguration::default),
            log_configuration: (!text.starts_with('r')).then(|| api::LogConfiguration {
                log_driver: Some(api::LogDriver::Awsfirelens),
                ..api::LogConfiguration::default()
            }),
            ..api::ContainerDefinition::default()
        };
        texts.iter().map(container).collect()
    }

    #[test]
    fn who_links_to_a_container_waits_for_its_start_unless_it_waits_for_more() {
        let link = |links: &[&str]| Some(links.iter().map(|link| (*link).to_owned()).collect());
        let depends_on = Some(vec![api::ContainerDependency {
            container_name: Some("b".to_owned()),
            condition: Some(api::ContainerCondition::Healthy),
        }]);
        let named = |name: &str| api::ContainerDefinition { name: Some(name.to_owned()), ..Default::default() };
        let containers = [
            api::ContainerDefinition { links: link(&["b:db", "c"]), depends_on, ..named("a") },
            api::ContainerDefinition { links: link(&["c:x", "c:y"]), ..named("b") },
            named("c"),
        ];
        let on = |container: &str, condition| Dependency { container: container.to_owned(), condition };
        let expected =
            [vec![on("b", Condition::Healthy), on("c", Condition::Start)], vec![on("c", Condition::Start)], vec![]];
        assert_eq!(of(&containers), expected);
    }

    #[test]
    fn who_writes_to_a_log_router_waits_for_it_unless_it_waits_for_them() {
        let rows: [(&[&str], &str); 5] = [
            (&["a", "b"], "a:;b:"),
            (&["a", "r"], "a:r;r:"),
            (&["ab", "b", "r"], "a:br;b:r;r:"),
            (&["ar", "r"], "a:r;r:"),
            (&["a", "b", "ra"], "a:;b:r;r:a"),
        ];
        for (texts, expected) in rows {
            let containers = containers(texts);
            let all = of(&containers);
            let shown = all.iter().zip(&containers).map(|(waits, container)| {
                let names = waits.iter().map(|dependency| dependency.container.as_str()).collect::<String>();
                format!("{}:{names}", container.name.as_deref().unwrap())
            });
            assert_eq!(shown.collect::<Vec<_>>().join(";"), expected);
        }
    }
}
