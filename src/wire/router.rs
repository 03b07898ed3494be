//! Which service, protocol and operation a request is for. A pure function: the order of its questions is AWS's clients'
//! habit, most certain answer first.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, Response, Uri};

use crate::rest::bucket_of_host;
use crate::services::{SERVICES, ServiceNames, service_named};
use crate::{ApiError, Protocol, credential, parameters, render_error};

/// Paths by which unsigned requests to REST services are told apart.
const REST_PATHS: &[(&str, &str)] = &[
    ("/2015-02-01/", "efs"),
    ("/clusters", "eks"),
    ("/schedule-groups", "scheduler"),
    ("/schedules", "scheduler"),
    ("/servicenetworks", "vpc-lattice"),
];

/// Parameters of queries by which unsigned requests to S3, and those with a signature of version 2, are told apart.
const S3_PARAMETERS: &[&str] = &["AWSAccessKeyId", "x-id"];

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The service.
    pub service: &'static ServiceNames,
    /// How the request is written, and the response is to be.
    pub protocol: Protocol,
    /// The operation as the request names it; empty where it names none, as in REST.
    pub operation: String,
}

/// A request that is for no service that is known.
#[derive(Debug)]
pub struct RouteError {
    /// How the client would read an answer.
    pub protocol: Protocol,
    /// What it is told.
    pub error: ApiError,
}

impl RouteError {
    /// Renders the answer.
    pub fn response(&self, request_id: &str) -> Response<Bytes> {
        render_error(self.protocol, &self.error, request_id)
    }
}

/// What a request says about itself in the places where AWS's clients say it.
struct Hints<'a> {
    target: Option<(&'a str, &'a str)>,
    rpc: Option<(&'a str, &'a str)>,
    action: Option<String>,
    version: Option<String>,
    is_json_10: bool,
}

/// Names the service, protocol and operation of a request.
pub fn route(request: &Parts, body: &[u8]) -> Result<Routed, RouteError> {
    let hints = Hints::of(&request.headers, &request.uri, body);
    let Some(service) = service(request, &hints) else { return Err(hints.unknown_service()) };
    let protocol = hints.protocol(service);
    let operation = match protocol {
        Protocol::Json10 | Protocol::Json11 => hints.target.map(|(_, operation)| operation.to_owned()),
        Protocol::RpcV2Cbor => hints.rpc.map(|(_, operation)| operation.to_owned()),
        Protocol::Query | Protocol::Ec2 => hints.action,
        Protocol::RestJson | Protocol::RestXml => None,
    };
    Ok(Routed { service, protocol, operation: operation.unwrap_or_default() })
}

fn service(request: &Parts, hints: &Hints<'_>) -> Option<&'static ServiceNames> {
    let scope = credential(&request.headers, &request.uri).map(|credential| credential.service);
    scope
        .and_then(|scope| by_scope(&scope, hints.version.as_deref()))
        .or_else(|| hints.target.and_then(|(target, _)| by_target(target)))
        .or_else(|| hints.rpc.and_then(|(service, _)| by_target(service)))
        .or_else(|| host(&request.headers, &request.uri).and_then(|host| by_host(host, hints.version.as_deref())))
        .or_else(|| is_for_s3(request).then(|| service_named("s3")).flatten())
        .or_else(|| by_path(request.uri.path()))
        .or_else(|| {
            hints.action.as_ref()?;
            by_version(hints.version.as_deref()?)
        })
}

/// Two services share `elasticloadbalancing`: only the version tells them apart.
fn by_scope(scope: &str, version: Option<&str>) -> Option<&'static ServiceNames> {
    if scope == "elasticloadbalancing" {
        return version.and_then(by_version).or_else(|| service_named("elbv2"));
    }
    SERVICES.iter().find(|service| service.scope == scope)
}

fn by_target(target: &str) -> Option<&'static ServiceNames> {
    SERVICES.iter().find(|service| !service.target.is_empty() && service.target == target)
}

fn by_host(host: &str, version: Option<&str>) -> Option<&'static ServiceNames> {
    let is_named = |name: &&str| host.strip_prefix(*name).is_some_and(|rest| rest.starts_with('.'));
    let found = SERVICES.iter().find(|service| service.hosts.iter().any(is_named))?;
    by_scope(found.scope, version).filter(|shared| shared.scope == found.scope)
}

/// Tells whether the host begins with a bucket, or the query has a parameter that S3's clients alone add: a request for an
/// object need not be signed, and its path may be anything.
pub fn is_for_s3(request: &Parts) -> bool {
    let host = host(&request.headers, &request.uri).filter(|host| host.contains(".s3"));
    let bucket = host.and_then(bucket_of_host);
    let is_of_s3 = |name: &str| S3_PARAMETERS.contains(&name);
    bucket.is_some() || parameters(request.uri.query().unwrap_or_default()).any(|(name, _)| is_of_s3(&name))
}

fn by_path(path: &str) -> Option<&'static ServiceNames> {
    let (_, id) = REST_PATHS.iter().find(|(start, _)| path.starts_with(start))?;
    service_named(id)
}

fn by_version(version: &str) -> Option<&'static ServiceNames> {
    SERVICES.iter().find(|service| !service.version.is_empty() && service.version == version)
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl<'a> Hints<'a> {
    fn of(headers: &'a HeaderMap, uri: &'a Uri, body: &[u8]) -> Self {
        let content_type = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let target = header(headers, "x-amz-target").and_then(|target| target.rsplit_once('.'));
        let form = if content_type.starts_with("application/x-www-form-urlencoded") {
            std::str::from_utf8(body).unwrap_or_default()
        } else {
            ""
        };
        let parameter = |name: &str| {
            let mut all = parameters(uri.query().unwrap_or_default()).chain(parameters(form));
            all.find(|(known, _)| known == name).map(|(_, value)| value.trim().to_owned())
        };
        let (action, version) =
            if target.is_none() { (parameter("Action"), parameter("Version")) } else { (None, None) };
        let is_json_10 = content_type.starts_with("application/x-amz-json-1.0");
        Self { target, rpc: rpc_path(uri.path()), action, version, is_json_10 }
    }

    fn protocol(&self, service: &ServiceNames) -> Protocol {
        if self.target.is_some() {
            return if self.is_json_10 { Protocol::Json10 } else { Protocol::Json11 };
        }
        if self.rpc.is_some() {
            return Protocol::RpcV2Cbor;
        }
        match (&self.action, service.protocol) {
            (Some(_), Protocol::Ec2) => Protocol::Ec2,
            (Some(_), Protocol::Query | Protocol::Json10 | Protocol::Json11) => Protocol::Query,
            (_, protocol) => protocol,
        }
    }

    fn unknown_service(&self) -> RouteError {
        let protocol = match (&self.target, &self.rpc, &self.action) {
            (Some(_), _, _) if self.is_json_10 => Protocol::Json10,
            (Some(_), _, _) => Protocol::Json11,
            (_, Some(_), _) => Protocol::RpcV2Cbor,
            (_, _, Some(_)) => Protocol::Query,
            (None, None, None) => Protocol::RestJson,
        };
        let operation = self.action.as_deref().unwrap_or_default();
        let error = match protocol {
            Protocol::RestJson => ApiError::new(
                "UnknownService",
                404,
                "The request names no AWS service: it has no signature, target, action or path that Neargate knows.",
            ),
            _ => ApiError::unknown_operation(protocol, operation),
        };
        RouteError { protocol, error }
    }
}

/// Splits `/service/<service>/operation/<operation>`.
fn rpc_path(path: &str) -> Option<(&str, &str)> {
    let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    (!operation.is_empty() && !operation.contains('/')).then_some((service, operation))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// Routes a request written as header lines, an empty line and a body.
    #[track_caller]
    fn check(request: &str, expected: &str) {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(uri);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let value = match name {
                "scope" => {
                    format!("AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/{value}/aws4_request, Signature=x")
                }
                _ => value.to_owned(),
            };
            builder = builder.header(if name == "scope" { "authorization" } else { name }, value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        let found = match route(&parts, body.as_bytes()) {
            Ok(routed) => format!("{} {:?} {}", routed.service.id, routed.protocol, routed.operation),
            Err(error) => format!("{:?} {}", error.protocol, error.error.code()),
        };
        assert_eq!(found.trim_end(), expected, "{request}");
    }

    const FORM: &str = "content-type: application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn json_services_are_named_by_scope_and_target() {
        check("POST /\nscope: ecs\nx-amz-target: AmazonEC2ContainerServiceV20141113.RunTask", "ecs Json11 RunTask");
        check(
            "POST /\nx-amz-target: Logs_20140328.PutLogEvents\ncontent-type: application/x-amz-json-1.1",
            "logs Json11 PutLogEvents",
        );
        check(
            "POST /\nscope: monitoring\nx-amz-target: GraniteServiceVersion20100801.PutMetricData\ncontent-type: application/x-amz-json-1.0",
            "cloudwatch Json10 PutMetricData",
        );
        check("POST /\nscope: ecs", "ecs Json11");
        check("POST /\nscope: unheard-of\nx-amz-target: AmazonSSM.GetParameter", "ssm Json11 GetParameter");
    }

    #[test]
    fn form_services_are_named_by_scope_or_version() {
        check(
            &format!("POST /\nscope: sts\n{FORM}\n\nAction=GetCallerIdentity&Version=2011-06-15"),
            "sts Query GetCallerIdentity",
        );
        check(&format!("POST /\n{FORM}\n\nVersion=2016-11-15&Action=DescribeVpcs"), "ec2 Ec2 DescribeVpcs");
        check("GET /?Action=GetCallerIdentity&Version=2011-06-15", "sts Query GetCallerIdentity");
        check(
            &format!("POST /\nscope: monitoring\n{FORM}\n\nAction=PutMetricData&Version=2010-08-01"),
            "cloudwatch Query PutMetricData",
        );
    }

    #[test]
    fn the_load_balancing_services_differ_by_version() {
        for (version, expected) in [("2012-06-01", "elb"), ("2015-12-01", "elbv2"), ("", "elbv2")] {
            let body = format!("Action=DescribeLoadBalancers&Version={version}");
            let expected = format!("{expected} Query DescribeLoadBalancers");
            check(&format!("POST /\nscope: elasticloadbalancing\n{FORM}\n\n{body}"), &expected);
            check(&format!("POST /\nhost: elasticloadbalancing.us-east-1.amazonaws.com\n{FORM}\n\n{body}"), &expected);
        }
    }

    #[test]
    fn rpc_paths_name_service_and_operation() {
        check(
            "POST /service/GraniteServiceVersion20100801/operation/PutMetricData\nscope: monitoring",
            "cloudwatch RpcV2Cbor PutMetricData",
        );
        check("POST /service/GraniteServiceVersion20100801/operation/ListMetrics", "cloudwatch RpcV2Cbor ListMetrics");
    }

    #[test]
    fn hosts_and_paths_name_rest_services() {
        check("GET /clusters/x\nhost: eks.us-east-1.amazonaws.com", "eks RestJson");
        check("GET /clusters", "eks RestJson");
        check("GET /2015-02-01/file-systems\nhost: localhost:4566", "efs RestJson");
        check("GET /bucket/key\nscope: s3", "s3 RestXml");
        check("GET /key\nhost: bucket.s3.localhost:4566", "s3 RestXml");
        check("GET /key\nhost: bucket.s3.eu-west-1.amazonaws.com", "s3 RestXml");
        check("GET /bucket/key?AWSAccessKeyId=a&Signature=b", "s3 RestXml");
        check("GET /v2/\nhost: 123456789012.dkr.ecr.us-east-1.localhost:4566", "RestJson UnknownService");
        check("GET /\nhost: api.ecr.us-east-1.amazonaws.com", "ecr Json11");
        check("GET /\nhost: ecsx.us-east-1.amazonaws.com", "RestJson UnknownService");
    }

    #[test]
    fn what_names_no_service_is_answered_in_its_own_protocol() {
        check("GET /", "RestJson UnknownService");
        check("POST /\nx-amz-target: DynamoDB_20120810.ListTables", "Json11 UnknownOperationException");
        check("POST /\nx-amz-target: nodot", "RestJson UnknownService");
        check(&format!("POST /\n{FORM}\n\nAction=ListQueues&Version=2012-11-05"), "Query InvalidAction");
        check("POST /service/Unheard/operation/Of", "RpcV2Cbor UnknownOperationException");
    }

    #[test]
    fn every_service_is_found_by_its_own_names() {
        for service in SERVICES {
            if !service.target.is_empty() {
                assert_eq!(by_target(service.target), Some(service));
            }
            let version = Some(service.version).filter(|version| !version.is_empty());
            assert_eq!(by_scope(service.scope, version), Some(service));
        }
    }
}
