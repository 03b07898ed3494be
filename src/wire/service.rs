//! Registration and dispatch: from an operation's name and bytes to its handler, and back to a response.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response};

use crate::cbor::CborReader;
use crate::form::{Dialect, FormReader};
use crate::json::JsonReader;
use crate::response::{render_error, render_output};
use crate::rest::{self, Unread};
use crate::{ApiError, Empty, Protocol, RestRoute, Routed, ServiceModel, Structure, Violation};

/// An operation of a model. Generated.
pub trait Operation {
    /// The request.
    type Input: Structure + Empty;
    /// The response.
    type Output: Structure + 'static;
    /// What it fails with.
    type Error: Into<ApiError>;
    /// The name in the model.
    const NAME: &'static str;
}

/// What a handler gives back, whatever its operation.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Structure>, ApiError>> + Send + 'a>>;

/// Reads and checks a request into its type.
pub type Decode<'d> = &'d mut dyn FnMut(&mut dyn Structure) -> Result<(), ApiError>;

/// An operation that is implemented, over the context `C` that handlers are given.
pub struct Route<C: 'static> {
    /// The operation's name.
    pub name: &'static str,
    /// Decodes a request and starts its handler.
    pub call: for<'a> fn(&'a C, Decode<'_>) -> Result<Answer<'a>, ApiError>,
}

/// A service with the operations that are implemented.
pub struct Service<C: 'static> {
    /// What the model says.
    pub model: &'static ServiceModel,
    /// The service's words for requests that the model forbids, or none where the service lets them pass; never called
    /// without a violation.
    pub violation: fn(&[Violation]) -> Option<ApiError>,
    /// The operations.
    pub routes: &'static [Route<C>],
}

impl<C: 'static> Service<C> {
    fn route(&self, operation: &str) -> Result<&'static Route<C>, ApiError> {
        if let Some(route) = self.routes.iter().find(|route| route.name == operation) {
            return Ok(route);
        }
        if self.model.has(operation) {
            return Err(ApiError::not_implemented(self.model.id, operation));
        }
        Err(ApiError::unknown_operation(self.model.protocol, operation))
    }

    async fn answer(&self, routed: &Routed, request: &Request<Bytes>, cx: &C) -> Result<Box<dyn Structure>, ApiError> {
        let route = self.route(&routed.operation)?;
        let mut decode = |input: &mut dyn Structure| -> Result<(), ApiError> {
            read(self.model, routed, request, input)?;
            let violations = crate::check::violations(input);
            let forbidden = if violations.is_empty() { None } else { (self.violation)(&violations) };
            forbidden.map_or(Ok(()), Err)
        };
        (route.call)(cx, &mut decode)?.await
    }
}

/// Answers a request that the router has named, with the service among `services` that has it.
pub async fn handle<C: 'static>(
    services: &[&'static Service<C>],
    routed: &Routed,
    request: &Request<Bytes>,
    cx: &C,
    request_id: &str,
) -> Response<Bytes> {
    let Some(service) = services.iter().find(|service| service.model.id == routed.service.id) else {
        let error = ApiError::not_implemented(routed.service.id, &routed.operation);
        return render_error(routed.protocol, &error, request_id);
    };
    let mut response = match service.answer(routed, request, cx).await {
        Ok(output) => render_output(routed.protocol, service.model, &routed.operation, &*output, request_id),
        Err(error) => render_error(routed.protocol, &error, request_id),
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Names the operation of a request to a REST service, which its path tells and its model must explain; and tells whether
/// the request's body is to be streamed. Other requests stay as they are.
pub fn resolve<C: 'static>(services: &[&'static Service<C>], routed: &mut Routed, head: &Parts) -> bool {
    if !matches!(routed.protocol, Protocol::RestJson | Protocol::RestXml) {
        return false;
    }
    let service = services.iter().find(|service| service.model.id == routed.service.id);
    let route = service.and_then(|service| rest::find(service.model.rest, service.model.id, head));
    let Some((service, route)) = service.zip(route) else { return false };
    route.operation.clone_into(&mut routed.operation);
    route.is_streamed && service.routes.iter().any(|known| known.name == route.operation)
}

fn read(
    model: &'static ServiceModel,
    routed: &Routed,
    request: &Request<Bytes>,
    input: &mut dyn Structure,
) -> Result<(), ApiError> {
    match routed.protocol {
        Protocol::Json10 | Protocol::Json11 => JsonReader::new(request.body()).and_then(|mut reader| {
            crate::value::fill_structure(input, &mut reader)?;
            reader.finish()
        }),
        Protocol::Query => read_form(Dialect::Query, request, input),
        Protocol::Ec2 => read_form(Dialect::Ec2, request, input),
        Protocol::RestJson | Protocol::RestXml => match model.route(&routed.operation) {
            Some(route) => return read_rest(routed.protocol, model, route, request, input),
            None => return Err(ApiError::not_implemented(model.id, &routed.operation)),
        },
        Protocol::RpcV2Cbor => {
            let mut reader = CborReader::new(request.body());
            crate::value::fill_structure(input, &mut reader).and_then(|()| reader.finish())
        }
    }
    .map_err(|error| match routed.protocol {
        Protocol::Query | Protocol::Ec2 => ApiError::client("MalformedInput", error.to_string()),
        _ => ApiError::serialization(&error),
    })
}

fn read_rest(
    protocol: Protocol,
    model: &'static ServiceModel,
    route: &RestRoute,
    request: &Request<Bytes>,
    input: &mut dyn Structure,
) -> Result<(), ApiError> {
    rest::read(protocol, route, model.id, request, input).map_err(|unread| match (protocol, unread) {
        (Protocol::RestXml, Unread::Body(_)) => ApiError::malformed_xml(),
        (Protocol::RestXml, Unread::Head(error)) => ApiError::client("InvalidArgument", error.to_string()),
        (_, Unread::Body(error) | Unread::Head(error)) => ApiError::serialization(&error),
    })
}

fn read_form(dialect: Dialect, request: &Request<Bytes>, input: &mut dyn Structure) -> Result<(), crate::DecodeError> {
    let query = request.uri().query().unwrap_or_default();
    let mut reader = FormReader::new(dialect, query, request.body())?;
    crate::value::fill_structure(input, &mut reader)
}

/// Declares a service: its generated module, the words for violations (a function of `&[Violation]` to [`ApiError`] or
/// `Option<ApiError>`), and the handler of each operation.
///
/// ```ignore
/// pub static SERVICE: wire::Service<state::Cx> = wire::service! {
///     api::ecs,
///     violation = violation::words,
///     routes: [CreateCluster => cluster::create_cluster, RunTask => task::run_task],
/// };
/// ```
#[macro_export]
macro_rules! service {
    (
        $($module:ident)::+,
        violation = $violation:expr,
        routes: [$($operation:ident => $handler:expr),* $(,)?] $(,)?
    ) => {{
        use $($module)::+ as model;
        $crate::Service {
            model: &model::SERVICE,
            violation: |found| ::std::convert::Into::into($violation(found)),
            routes: &[$($crate::Route {
                name: <model::ops::$operation as $crate::Operation>::NAME,
                call: |cx, decode| {
                    type Op = model::ops::$operation;
                    let mut input = <<Op as $crate::Operation>::Input as $crate::Empty>::empty();
                    decode(&mut input)?;
                    ::std::result::Result::Ok(::std::boxed::Box::pin(async move {
                        let output: ::std::result::Result<
                            <Op as $crate::Operation>::Output,
                            <Op as $crate::Operation>::Error,
                        > = $handler(cx, input).await;
                        match output {
                            ::std::result::Result::Ok(output) => ::std::result::Result::Ok(
                                ::std::boxed::Box::new(output) as ::std::boxed::Box<dyn $crate::Structure>,
                            ),
                            ::std::result::Result::Err(error) => ::std::result::Result::Err(error.into()),
                        }
                    }))
                },
            }),*],
        }
    }};
}
