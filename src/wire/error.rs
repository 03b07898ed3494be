//! Errors on the wire: what a client is told, and what is wrong with an input that cannot be read.

use std::fmt;

use crate::{Protocol, Structure};

/// Whose fault an error is; query protocols say it as `Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's.
    Sender,
    /// The service's.
    Receiver,
}

impl Fault {
    /// Returns the word of the query protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "Sender",
            Self::Receiver => "Receiver",
        }
    }
}

/// An error that a client is answered with. Small to pass around: the content is boxed.
#[derive(Debug)]
pub struct ApiError(Box<Content>);

#[derive(Debug)]
struct Content {
    code: String,
    message: String,
    status: u16,
    query_code: Option<&'static str>,
    payload: Option<Box<dyn Structure>>,
}

impl ApiError {
    /// Makes an error of a code, an HTTP status and a message.
    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        Self(Box::new(Content { code: code.into(), message: message.into(), status, query_code: None, payload: None }))
    }

    /// Makes an error that is the client's fault: status 400.
    pub fn client(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(code, 400, message)
    }

    /// Makes the error of a bug or of a broken machine: `InternalFailure`, status 500. The cause belongs in the log.
    pub fn internal() -> Self {
        Self::new("InternalFailure", 500, "The request processing has failed because of an unknown error.")
    }

    /// Makes the error of an input that is not of its type.
    pub fn serialization(error: &DecodeError) -> Self {
        Self::client("SerializationException", error.to_string())
    }

    /// Makes S3's error of a body that is not of its type.
    pub fn malformed_xml() -> Self {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        Self::client("MalformedXML", message)
    }

    /// Makes the error of an operation that Neargate knows and does not have. Its status, 501, is one that SDKs do not
    /// retry.
    pub fn not_implemented(service: &str, operation: &str) -> Self {
        let what = if operation.is_empty() { service.to_owned() } else { format!("{service}.{operation}") };
        let message = format!("Neargate does not implement {what} yet. See the support table in the README.");
        Self::new("NotImplemented", 501, message)
    }

    /// Makes the error of an operation that the service's model does not have.
    pub fn unknown_operation(protocol: Protocol, operation: &str) -> Self {
        match protocol {
            Protocol::Query | Protocol::Ec2 => {
                Self::client("InvalidAction", format!("The action {operation} is not valid for this web service."))
            }
            Protocol::RestXml => {
                Self::new("MethodNotAllowed", 405, "The specified method is not allowed against this resource.")
            }
            // The JSON front end says no more than the code.
            _ => Self::client("UnknownOperationException", ""),
        }
    }

    /// Adds the members of a modelled exception, its message among them.
    #[must_use]
    pub fn with_payload(mut self, payload: Box<dyn Structure>) -> Self {
        self.0.payload = Some(payload);
        self
    }

    /// Says how the query protocol names the error, where the other protocols of its service name it by its shape.
    #[must_use]
    pub fn with_query_code(mut self, code: &'static str) -> Self {
        self.0.query_code = Some(code);
        self
    }

    /// Returns the code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Returns the code of the query protocol, where it is another.
    pub fn query_code(&self) -> Option<&'static str> {
        self.0.query_code
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Returns whose fault it is.
    pub fn fault(&self) -> Fault {
        if self.0.status >= 500 { Fault::Receiver } else { Fault::Sender }
    }

    /// Returns the members of a modelled exception that has more than a message.
    pub fn payload(&self) -> Option<&dyn Structure> {
        self.0.payload.as_deref()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl std::error::Error for ApiError {}

/// What a variant of a generated `Error` holds.
pub trait Payload {
    /// Makes the error that the client sees.
    fn into_error(self, code: &'static str, status: u16) -> ApiError;
}

impl Payload for String {
    fn into_error(self, code: &'static str, status: u16) -> ApiError {
        ApiError::new(code, status, self)
    }
}

impl<T: Structure + 'static> Payload for T {
    fn into_error(self, code: &'static str, status: u16) -> ApiError {
        let members = self.schema().members;
        let message = members.iter().position(|member| member.name.eq_ignore_ascii_case("message"));
        let message = message.and_then(|index| self.member(index).get().map(crate::Value::describe));
        ApiError::new(code, status, message.unwrap_or_default()).with_payload(Box::new(self))
    }
}

/// Why an input cannot be read, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Place>);

#[derive(Clone, PartialEq, Eq)]
struct Place {
    message: String,
    path: String,
}

impl DecodeError {
    /// Makes an error at the value that is being read.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Place { message: message.into(), path: String::new() }))
    }

    /// Makes the error of a value that has another type: `STRING_VALUE can not be converted to an Integer`.
    pub fn wrong_type(found: &str, wanted: &str) -> Self {
        let article = if wanted.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
        Self::new(format!("{found} can not be converted to {article} {wanted}"))
    }

    /// Says that the error lies in a member.
    #[must_use]
    pub fn inside_member(mut self, name: &str) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = format!("{name}{dot}{}", self.0.path);
        self
    }

    /// Says that the error lies in an item of a list.
    #[must_use]
    pub fn inside_item(mut self, index: usize) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = format!("[{index}]{dot}{}", self.0.path);
        self
    }

    /// Returns where the error lies: `containerDefinitions[0].memory`; empty for the input as a whole.
    pub fn path(&self) -> &str {
        &self.0.path
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if self.0.path.is_empty() { Ok(()) } else { write!(f, " at '{}'", self.0.path) }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}
