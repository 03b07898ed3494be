//! The names by which requests say which service they are for, also of services that Neargate does not have yet.

use crate::Protocol;

/// The names of a service.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceNames {
    /// The name in botocore and in this project.
    pub id: &'static str,
    /// The signing name: the service of a credential scope.
    pub scope: &'static str,
    /// The part of `X-Amz-Target` before the operation; also the service of an RPC v2 path. Empty where there is none.
    pub target: &'static str,
    /// The first labels of its host names.
    pub hosts: &'static [&'static str],
    /// The API version of forms.
    pub version: &'static str,
    /// What a request speaks that says nothing else.
    pub protocol: Protocol,
}

const fn json(
    id: &'static str,
    scope: &'static str,
    target: &'static str,
    hosts: &'static [&'static str],
) -> ServiceNames {
    ServiceNames { id, scope, target, hosts, version: "", protocol: Protocol::Json11 }
}

const fn form(
    id: &'static str,
    scope: &'static str,
    version: &'static str,
    hosts: &'static [&'static str],
    protocol: Protocol,
) -> ServiceNames {
    ServiceNames { id, scope, target: "", hosts, version, protocol }
}

const fn rest(
    id: &'static str,
    scope: &'static str,
    hosts: &'static [&'static str],
    protocol: Protocol,
) -> ServiceNames {
    ServiceNames { id, scope, target: "", hosts, version: "", protocol }
}

/// Every service whose requests are recognised.
pub(crate) static SERVICES: &[ServiceNames] = &[
    json("ecs", "ecs", "AmazonEC2ContainerServiceV20141113", &["ecs"]),
    json("ecr", "ecr", "AmazonEC2ContainerRegistry_V20150921", &["api.ecr", "ecr"]),
    json("ecr-public", "ecr-public", "SpencerFrontendService", &["api.ecr-public", "ecr-public"]),
    json("logs", "logs", "Logs_20140328", &["logs"]),
    ServiceNames {
        id: "cloudwatch",
        scope: "monitoring",
        target: "GraniteServiceVersion20100801",
        hosts: &["monitoring"],
        version: "2010-08-01",
        protocol: Protocol::Json10,
    },
    json("application-autoscaling", "application-autoscaling", "AnyScaleFrontendService", &["application-autoscaling"]),
    json(
        "servicediscovery",
        "servicediscovery",
        "Route53AutoNaming_v20170314",
        &["servicediscovery", "data-servicediscovery"],
    ),
    json("events", "events", "AWSEvents", &["events"]),
    json("secretsmanager", "secretsmanager", "secretsmanager", &["secretsmanager"]),
    json("ssm", "ssm", "AmazonSSM", &["ssm"]),
    json("kms", "kms", "TrentService", &["kms"]),
    json("codedeploy", "codedeploy", "CodeDeploy_20141006", &["codedeploy"]),
    json("pricing", "pricing", "AWSPriceListService", &["api.pricing"]),
    form("elb", "elasticloadbalancing", "2012-06-01", &[], Protocol::Query),
    form("elbv2", "elasticloadbalancing", "2015-12-01", &["elasticloadbalancing"], Protocol::Query),
    form("autoscaling", "autoscaling", "2011-01-01", &["autoscaling"], Protocol::Query),
    form("iam", "iam", "2010-05-08", &["iam"], Protocol::Query),
    form("sts", "sts", "2011-06-15", &["sts"], Protocol::Query),
    form("ec2", "ec2", "2016-11-15", &["ec2"], Protocol::Ec2),
    rest("eks", "eks", &["eks"], Protocol::RestJson),
    rest("efs", "elasticfilesystem", &["elasticfilesystem"], Protocol::RestJson),
    rest("scheduler", "scheduler", &["scheduler"], Protocol::RestJson),
    rest("vpc-lattice", "vpc-lattice", &["vpc-lattice"], Protocol::RestJson),
    rest("s3", "s3", &["s3"], Protocol::RestXml),
];

/// Returns the names of a service.
pub fn service_named(id: &str) -> Option<&'static ServiceNames> {
    SERVICES.iter().find(|service| service.id == id)
}
