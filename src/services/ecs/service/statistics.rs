//! How many services a cluster has.

use state::Cx;
use state::ecs::{ClusterName, LaunchType, ServiceStatus};

/// How many services of a cluster there are, by launch type and status.
#[derive(Default)]
pub(crate) struct Statistics {
    /// Those that are there.
    pub(crate) active: i32,
    /// The counts that a cluster's `statistics` show, by their names.
    pub(crate) by_launch_type: [(&'static str, i32); 6],
}

/// Counts the services of a cluster.
pub(crate) fn statistics(cx: &Cx, cluster: &ClusterName) -> Statistics {
    let names = [
        "activeEC2ServiceCount",
        "drainingEC2ServiceCount",
        "activeFargateServiceCount",
        "drainingFargateServiceCount",
        "activeExternalServiceCount",
        "drainingExternalServiceCount",
    ];
    let mut statistics = Statistics { active: 0, by_launch_type: names.map(|name| (name, 0)) };
    for service in cx.state.ecs.services_of(cx.scope(), cluster) {
        let status = match service.status {
            ServiceStatus::Active => 0,
            ServiceStatus::Draining => 1,
            ServiceStatus::Inactive => continue,
        };
        if service.status == ServiceStatus::Active {
            statistics.active += 1;
        }
        // A service whose task sets alone say where they run counts as one on EC2. (unverified)
        let launch_type = match service.workload.as_ref().map(|workload| workload.capacity.launch_type()) {
            None | Some(LaunchType::Ec2 | LaunchType::ManagedInstances) => 0,
            Some(LaunchType::Fargate) => 2,
            Some(LaunchType::External) => 4,
        };
        statistics.by_launch_type[launch_type + status].1 += 1;
    }
    statistics
}
