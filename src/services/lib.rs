//! The list of the services. The server routes requests to what is named here and knows no service besides.

use state::Cx;

/// Every service that Neargate has.
pub static ALL: &[&wire::Service<Cx>] = &[
    &cloudwatch::SERVICE,
    &codedeploy::SERVICE,
    &ec2::SERVICE,
    &ecr::SERVICE,
    &ecr_public::SERVICE,
    &ecs::SERVICE,
    &efs::SERVICE,
    &events::SERVICE,
    &iam::SERVICE,
    &logs::SERVICE,
    &s3::SERVICE,
    &scheduler::SERVICE,
    &secretsmanager::SERVICE,
    &ssm::SERVICE,
    &sts::SERVICE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_name_and_an_operation_of_its_model() {
        for service in ALL {
            assert!(wire::service_named(service.model.id).is_some(), "{}", service.model.id);
            assert!(!service.routes.is_empty(), "{}", service.model.id);
            for route in service.routes {
                assert!(service.model.has(route.name), "{}.{}", service.model.id, route.name);
            }
        }
    }

    #[test]
    fn no_service_and_no_operation_is_listed_twice() {
        let mut names = Vec::new();
        for service in ALL {
            names.extend(service.routes.iter().map(|route| (service.model.id, route.name)));
        }
        let total = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), total);
    }
}
