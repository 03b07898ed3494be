//! Connections and API destinations: how and where an HTTP endpoint is called.

use std::fmt;

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Record};

/// How an HTTP endpoint wants to be asked. AWS keeps the secrets among it in Secrets Manager; here they are in the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// How calls are authorized; none once that was taken away.
    pub authorization: Option<Authorization>,
    /// `BASIC`, `API_KEY` or `OAUTH_CLIENT_CREDENTIALS`.
    pub authorization_type: String,
    /// What else each call bears as headers.
    pub headers: Vec<Parameter>,
    /// What else each call bears in its query.
    pub query: Vec<Parameter>,
    /// What else each call bears in its body.
    pub body: Vec<Parameter>,
    /// The parameters as responses show them: without secrets.
    pub shown: Document,
    /// The secret that AWS would keep; it is not there.
    pub secret_arn: String,
    /// The key that it is said to be encrypted with.
    pub kms_key: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
    /// When it was last authorized.
    pub authorized_at: Option<Timestamp>,
}

/// A header, a parameter of a query, or a member of a body. Its value may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// How calls are authorized. Secrets.
#[derive(Clone, Serialize, Deserialize)]
pub enum Authorization {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A header.
    ApiKey {
        /// The header's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A token, fetched with a client's credentials.
    OAuth {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// Where the token is fetched.
        endpoint: String,
        /// How it is asked for: `GET`, `POST` or `PUT`.
        method: String,
        /// What else that request bears as headers.
        headers: Vec<Parameter>,
        /// What else it bears in its query.
        query: Vec<Parameter>,
        /// What else it bears in its body.
        body: Vec<Parameter>,
    },
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.key)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::ApiKey { .. } => "ApiKey",
            Self::OAuth { .. } => "OAuth",
        })
    }
}

/// An HTTP endpoint as the target of rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiDestination {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// The ARN of its connection.
    pub connection: String,
    /// The address; each `*` in its path stands for a value that the target gives.
    pub endpoint: String,
    /// How it is called: `POST`, `GET` and so on.
    pub method: String,
    /// How often it may be called in a second.
    pub rate_per_s: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

impl Record for Connection {}
impl Record for ApiDestination {}
