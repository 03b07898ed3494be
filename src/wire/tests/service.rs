//! A service from request to response, in every protocol that is written.

#![allow(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use wire::{ApiError, Protocol, Service};

mod toy {
    use wire::{Member, Shape};

    pub(crate) static SERVICE: wire::ServiceModel = wire::ServiceModel {
        id: "ecs",
        name: "Toy",
        protocol: wire::Protocol::Json11,
        version: "1",
        xml_namespace: "urn:toy",
        operations: &["Fail", "Greet", "Later", "Rest"],
        rest: &[],
    };

    wire::operations! {
        Greet(GreetRequest) -> GreetResponse;
        Fail(GreetRequest) -> ();
        Rest(()) -> ();
    }

    wire::errors! {
        NotFound = "NotFoundException", 400;
        Conflict(ConflictException) = "ConflictException", 400;
        Broken = "BrokenException", 500;
    }

    wire::structure! {
        GreetRequest { 0 name: String = Member::new("name").query("Name").required().shape(&NAME); }
    }
    wire::structure! {
        GreetResponse { 0 greeting: String = Member::new("greeting"); }
    }
    wire::structure! {
        ConflictException {
            0 resource_ids: Vec<String> = Member::new("resourceIds");
            1 message: String = Member::new("message");
        }
    }
    static NAME: Shape = Shape::PLAIN.length(1, 10);
}

struct Cx {
    greeting: &'static str,
}

static TOY: Service<Cx> = wire::service! {
    toy,
    violation = wire::check::invalid_parameter,
    routes: [Greet => greet, Fail => fail, Rest => rest],
};

async fn greet(cx: &Cx, input: toy::GreetRequest) -> Result<toy::GreetResponse, toy::Error> {
    let name = input.name.unwrap_or_default();
    Ok(toy::GreetResponse { greeting: Some(format!("{}, {name}", cx.greeting)) })
}

async fn fail(_cx: &Cx, input: toy::GreetRequest) -> Result<(), toy::Error> {
    Err(match input.name.as_deref() {
        Some("missing") => toy::Error::NotFound("No <such> thing.".to_owned()),
        Some("twice") => toy::Error::Conflict(toy::ConflictException {
            resource_ids: Some(vec!["a".to_owned()]),
            message: Some("Twice.".to_owned()),
        }),
        Some("broken") => toy::Error::Broken("Broken.".to_owned()),
        _ => ApiError::internal().into(),
    })
}

async fn rest(_cx: &Cx, (): ()) -> Result<(), toy::Error> {
    Ok(())
}

fn answer<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a handler waits for nothing"),
    }
}

/// Sends a body and returns status, error type and body of the response.
fn send(protocol: Protocol, operation: &str, body: &str) -> String {
    let service = wire::service_named("ecs").unwrap();
    let routed = wire::Routed { service, protocol, operation: operation.to_owned() };
    let request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
    let response = answer(wire::handle(&[&TOY], &routed, &request, &Cx { greeting: "Hello" }, "id-1"));
    assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
    assert_eq!(response.headers()["content-type"], protocol.content_type());
    let kind = response.headers().get("x-amzn-errortype").map_or("", |kind| kind.to_str().unwrap());
    format!("{} {kind} {}", response.status().as_u16(), String::from_utf8_lossy(response.body()))
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[test]
fn an_output_is_rendered_in_the_protocol_of_the_request() {
    assert_eq!(send(Protocol::Json11, "Greet", r#"{"name":"you"}"#), r#"200  {"greeting":"Hello, you"}"#);
    assert_eq!(send(Protocol::Json10, "Rest", ""), "200  {}");
    assert_eq!(
        send(Protocol::Query, "Greet", "Action=Greet&Name=you"),
        format!(
            "200  {XML}<GreetResponse xmlns=\"urn:toy\"><GreetResult><greeting>Hello, you</greeting></GreetResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GreetResponse>"
        )
    );
    assert_eq!(
        send(Protocol::Query, "Rest", ""),
        format!(
            "200  {XML}<RestResponse xmlns=\"urn:toy\"><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></RestResponse>"
        )
    );
    assert_eq!(
        send(Protocol::Ec2, "Greet", "Name=you"),
        format!(
            "200  {XML}<GreetResponse xmlns=\"urn:toy\"><requestId>id-1</requestId><greeting>Hello, you</greeting></GreetResponse>"
        )
    );
}

#[test]
fn an_error_is_rendered_in_the_protocol_of_the_request() {
    assert_eq!(
        send(Protocol::Json11, "Fail", r#"{"name":"missing"}"#),
        r#"400 NotFoundException {"__type":"NotFoundException","message":"No <such> thing."}"#
    );
    assert_eq!(
        send(Protocol::Json11, "Fail", r#"{"name":"twice"}"#),
        r#"400 ConflictException {"__type":"ConflictException","resourceIds":["a"],"message":"Twice."}"#
    );
    assert_eq!(
        send(Protocol::Query, "Fail", "Name=broken"),
        format!(
            "500  {XML}<ErrorResponse><Error><Type>Receiver</Type><Code>BrokenException</Code><Message>Broken.</Message></Error><RequestId>id-1</RequestId></ErrorResponse>"
        )
    );
    assert_eq!(
        send(Protocol::Ec2, "Fail", "Name=missing"),
        format!(
            "400  {XML}<Response><Errors><Error><Code>NotFoundException</Code><Message>No &lt;such&gt; thing.</Message></Error></Errors><RequestID>id-1</RequestID></Response>"
        )
    );
    let unexpected = send(Protocol::Json11, "Fail", r#"{"name":"x"}"#);
    assert!(unexpected.starts_with("500 InternalFailure"), "{unexpected}");
}

#[test]
fn a_request_that_the_model_forbids_never_reaches_its_handler() {
    let constraint = "failed to satisfy constraint: Member must";
    for operation in ["Greet", "Fail"] {
        assert_eq!(
            send(Protocol::Json11, operation, "{}"),
            format!(
                r#"400 InvalidParameterException {{"__type":"InvalidParameterException","message":"1 validation error detected: Value null at 'name' {constraint} not be null"}}"#
            )
        );
    }
    let long = send(Protocol::Ec2, "Greet", "Name=12345678901");
    assert!(long.contains(&format!("{constraint} have length less than or equal to 10")), "{long}");
}

#[test]
fn an_input_that_cannot_be_read_names_the_member() {
    assert_eq!(
        send(Protocol::Json11, "Greet", r#"{"name":5}"#),
        r#"400 SerializationException {"__type":"SerializationException","message":"NUMBER_VALUE can not be converted to a String at 'name'"}"#
    );
    let trailing = send(Protocol::Json11, "Greet", r#"{"name":"a"} x"#);
    assert!(trailing.starts_with("400 SerializationException"), "{trailing}");
    let nested = send(Protocol::Query, "Greet", "Name.x=1");
    assert!(nested.contains("<Code>MalformedInput</Code>"), "{nested}");
}

#[test]
fn a_known_operation_without_handler_is_not_implemented_and_others_are_unknown() {
    assert_eq!(
        send(Protocol::Json11, "Later", "{}"),
        r#"501 NotImplemented {"__type":"NotImplemented","message":"Neargate does not implement ecs.Later yet. See the support table in the README."}"#
    );
    assert_eq!(
        send(Protocol::Json11, "Never", "{}"),
        r#"400 UnknownOperationException {"__type":"UnknownOperationException"}"#
    );
    for (protocol, expected) in
        [(Protocol::RestXml, "<Code>NotImplemented</Code>"), (Protocol::RpcV2Cbor, "NotImplemented")]
    {
        let service = wire::service_named("s3").unwrap();
        let routed = wire::Routed { service, protocol, operation: String::new() };
        let request = Request::new(Bytes::new());
        let response = answer(wire::handle(&[&TOY], &routed, &request, &Cx { greeting: "" }, "id-1"));
        assert_eq!(response.status().as_u16(), 501);
        assert!(String::from_utf8_lossy(response.body()).contains(expected));
    }
}
