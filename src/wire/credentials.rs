//! The words for credentials that are refused: each protocol has its own.

use crate::{ApiError, Protocol};

impl ApiError {
    /// Makes the error of temporary credentials whose time is over.
    pub fn expired_token(protocol: Protocol) -> Self {
        let message = "The security token included in the request is expired";
        match protocol {
            Protocol::Json10 | Protocol::Json11 => Self::client("ExpiredTokenException", message),
            Protocol::RestJson | Protocol::RpcV2Cbor => Self::new("ExpiredTokenException", 403, message),
            Protocol::Query => Self::new("ExpiredToken", 403, message),
            Protocol::Ec2 => Self::client("RequestExpired", "Request has expired."),
            Protocol::RestXml => Self::client("ExpiredToken", "The provided token has expired."),
        }
    }

    /// Makes the error of temporary credentials whose session token is missing or another's.
    pub fn invalid_token(protocol: Protocol) -> Self {
        let message = "The security token included in the request is invalid.";
        match protocol {
            Protocol::Json10 | Protocol::Json11 => Self::client("UnrecognizedClientException", message),
            Protocol::RestJson | Protocol::RpcV2Cbor => Self::new("UnrecognizedClientException", 403, message),
            Protocol::Query => Self::new("InvalidClientTokenId", 403, message),
            Protocol::Ec2 => {
                Self::new("AuthFailure", 401, "AWS was not able to validate the provided access credentials")
            }
            Protocol::RestXml => Self::client("InvalidToken", "The provided token is malformed or otherwise invalid."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_own_code_and_status() {
        for (protocol, expired, invalid) in [
            (Protocol::Json11, ("ExpiredTokenException", 400), ("UnrecognizedClientException", 400)),
            (Protocol::RestJson, ("ExpiredTokenException", 403), ("UnrecognizedClientException", 403)),
            (Protocol::Query, ("ExpiredToken", 403), ("InvalidClientTokenId", 403)),
            (Protocol::Ec2, ("RequestExpired", 400), ("AuthFailure", 401)),
            (Protocol::RestXml, ("ExpiredToken", 400), ("InvalidToken", 400)),
        ] {
            let error = ApiError::expired_token(protocol);
            assert_eq!((error.code(), error.status()), expired);
            let error = ApiError::invalid_token(protocol);
            assert_eq!((error.code(), error.status()), invalid);
        }
    }
}
