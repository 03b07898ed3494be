//! The protocols, and what is known of a service before its code is.

use crate::RestRoute;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// awsJson 1.0.
    Json10,
    /// awsJson 1.1.
    Json11,
    /// Form in, XML out.
    Query,
    /// EC2's form in, XML out.
    Ec2,
    /// Paths and JSON.
    RestJson,
    /// Paths and XML.
    RestXml,
    /// Smithy RPC v2 with CBOR.
    RpcV2Cbor,
}

impl Protocol {
    /// Returns the content type of responses.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Query | Self::Ec2 => "text/xml;charset=UTF-8",
            Self::RestJson => "application/json",
            Self::RestXml => "application/xml",
            Self::RpcV2Cbor => "application/cbor",
        }
    }
}

/// A service as its model describes it. Generated.
#[derive(Debug)]
pub struct ServiceModel {
    /// The name in botocore and in this project: `ecs`.
    pub id: &'static str,
    /// The service's own name: `Amazon ECS`.
    pub name: &'static str,
    /// The protocol that the model prefers.
    pub protocol: Protocol,
    /// The API version: `2014-11-13`.
    pub version: &'static str,
    /// The namespace of XML responses; empty for services that have none.
    pub xml_namespace: &'static str,
    /// The names of all operations of the model, sorted, also those that Neargate does not have.
    pub operations: &'static [&'static str],
    /// The paths of the operations of a REST service, also of those that Neargate does not have; listed ones come first.
    pub rest: &'static [RestRoute],
}

impl ServiceModel {
    /// Returns the path of an operation of a REST service.
    pub(crate) fn route(&self, operation: &str) -> Option<&'static RestRoute> {
        self.rest.iter().find(|route| route.operation == operation)
    }

    /// Tells whether the model has an operation.
    pub fn has(&self, operation: &str) -> bool {
        self.operations.binary_search(&operation).is_ok()
    }
}
