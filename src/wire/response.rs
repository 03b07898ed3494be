//! Responses: outputs and errors in each protocol.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::rest;
use crate::value::{UNIT, write_members, write_structure};
use crate::{ApiError, CborWriter, JsonWriter, Protocol, ServiceModel, Structure, Writer, XmlWriter};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const S3_ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// What clients that knew a service by the query protocol read an error's code from.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

/// Renders what an operation gives back.
pub fn render_output(
    protocol: Protocol,
    model: &ServiceModel,
    operation: &str,
    output: &dyn Structure,
    request_id: &str,
) -> Response<Bytes> {
    let body = match protocol {
        Protocol::RestJson | Protocol::RestXml => {
            let response = rest::output(protocol, model, operation, output);
            return identified(protocol, response, request_id);
        }
        Protocol::Json10 | Protocol::Json11 => {
            let mut writer = JsonWriter::new();
            write_structure(output, &mut writer);
            writer.into_bytes()
        }
        Protocol::Query => query_output(model, operation, output, request_id),
        Protocol::Ec2 => ec2_output(model, operation, output, request_id),
        Protocol::RpcV2Cbor => {
            let mut writer = CborWriter::new();
            write_structure(output, &mut writer);
            writer.into_bytes()
        }
    };
    respond(protocol, StatusCode::OK, body, request_id)
}

fn query_output(model: &ServiceModel, operation: &str, output: &dyn Structure, request_id: &str) -> Vec<u8> {
    let (response, result) = (format!("{operation}Response"), format!("{operation}Result"));
    let mut writer = XmlWriter::new();
    writer.open(&response, model.xml_namespace);
    // A response without members has its element too: botocore fails without it.
    if output.schema().name != UNIT {
        writer.open(&result, "");
        write_members(output, &mut writer);
        writer.close(&result);
    }
    writer.open("ResponseMetadata", "");
    writer.element("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&response);
    writer.into_bytes()
}

fn ec2_output(model: &ServiceModel, operation: &str, output: &dyn Structure, request_id: &str) -> Vec<u8> {
    let response = format!("{operation}Response");
    let mut writer = XmlWriter::new();
    writer.open(&response, model.xml_namespace);
    writer.element("requestId", request_id);
    write_members(output, &mut writer);
    writer.close(&response);
    writer.into_bytes()
}

/// Renders an error.
pub fn render_error(protocol: Protocol, error: &ApiError, request_id: &str) -> Response<Bytes> {
    let body = match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson => json_error(error),
        Protocol::Query => query_error(error, request_id),
        Protocol::RestXml => s3_error(error, request_id),
        Protocol::Ec2 => ec2_error(error, request_id),
        Protocol::RpcV2Cbor => cbor_error(error),
    };
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(protocol, status, body, request_id);
    let names_type = matches!(protocol, Protocol::Json10 | Protocol::Json11 | Protocol::RestJson);
    if names_type && let Ok(code) = HeaderValue::from_str(error.code()) {
        response.headers_mut().insert(ERROR_TYPE, code);
    }
    let query_error = error.query_code().filter(|_| names_type || protocol == Protocol::RpcV2Cbor);
    if let Some(code) = query_error
        && let Ok(code) = HeaderValue::from_str(&format!("{code};{}", error.fault().as_str()))
    {
        response.headers_mut().insert(QUERY_ERROR, code);
    }
    response
}

fn json_error(error: &ApiError) -> Vec<u8> {
    let mut writer = JsonWriter::new();
    write_typed_error(error, &mut writer);
    writer.into_bytes()
}

fn cbor_error(error: &ApiError) -> Vec<u8> {
    let mut writer = CborWriter::new();
    write_typed_error(error, &mut writer);
    writer.into_bytes()
}

/// Writes the structure of `__type` and the members of the error.
fn write_typed_error(error: &ApiError, writer: &mut dyn Writer) {
    writer.start_structure();
    writer.key("__type");
    writer.text(error.code());
    match error.payload() {
        Some(payload) => write_members(payload, writer),
        None if error.message().is_empty() => {}
        None => {
            writer.key("message");
            writer.text(error.message());
        }
    }
    writer.end_structure();
}

fn query_error(error: &ApiError, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new();
    writer.open("ErrorResponse", "");
    writer.open("Error", "");
    writer.element("Type", error.fault().as_str());
    writer.element("Code", error.query_code().unwrap_or_else(|| error.code()));
    writer.element("Message", error.message());
    writer.close("Error");
    writer.element("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.into_bytes()
}

/// S3 is the one service of its protocol here, and its errors have a form of their own. The members of a payload are
/// details beside code and message. A status that has no body has none here either.
fn s3_error(error: &ApiError, request_id: &str) -> Vec<u8> {
    if error.status() == StatusCode::NOT_MODIFIED.as_u16() {
        return Vec::new();
    }
    let mut writer = XmlWriter::new();
    writer.open("Error", "");
    writer.element("Code", error.code());
    writer.element("Message", error.message());
    if let Some(details) = error.payload() {
        write_members(details, &mut writer);
    }
    writer.element("RequestId", request_id);
    writer.element("HostId", request_id);
    writer.close("Error");
    writer.into_bytes()
}

fn ec2_error(error: &ApiError, request_id: &str) -> Vec<u8> {
    let mut writer = XmlWriter::new();
    writer.open("Response", "");
    writer.open("Errors", "");
    writer.open("Error", "");
    writer.element("Code", error.code());
    writer.element("Message", error.message());
    writer.close("Error");
    writer.close("Errors");
    writer.element("RequestID", request_id);
    writer.close("Response");
    writer.into_bytes()
}

fn respond(protocol: Protocol, status: StatusCode, body: Vec<u8>, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(protocol.content_type()));
    identified(protocol, response, request_id)
}

/// Adds what names the request.
fn identified(protocol: Protocol, mut response: Response<Bytes>, request_id: &str) -> Response<Bytes> {
    let headers = response.headers_mut();
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        if protocol == Protocol::RestXml {
            headers.insert(S3_ID_2, request_id.clone());
        }
        headers.insert(if protocol == Protocol::RestXml { S3_REQUEST_ID } else { REQUEST_ID }, request_id);
    }
    if protocol == Protocol::RpcV2Cbor {
        headers.insert(SMITHY_PROTOCOL, HeaderValue::from_static("rpc-v2-cbor"));
    }
    response
}
