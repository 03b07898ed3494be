//! Who signed a request, and for what: read from Signature Version 4, never verified. Whose credentials are not known is
//! accepted.

use base::{AccountId, Caller, Region, Scope};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};

/// The credential scope of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The access key id.
    pub access_key_id: String,
    /// The day, as `20261120`.
    pub date: String,
    /// The region; none for signatures over several regions.
    pub region: Option<String>,
    /// The service's signing name.
    pub service: String,
}

impl Credential {
    /// Parses `AKIA…/20261120/us-east-1/ecs/aws4_request`; SigV4a leaves out the region.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplit('/');
        if parts.next()? != "aws4_request" {
            return None;
        }
        let service = parts.next()?.to_owned();
        let region_or_date = parts.next()?;
        let is_date = region_or_date.len() == 8 && region_or_date.bytes().all(|byte| byte.is_ascii_digit());
        let (region, date) =
            if is_date { (None, region_or_date) } else { (Some(region_or_date.to_owned()), parts.next()?) };
        // An access key id may itself hold slashes in front of a local server.
        let rest = parts.collect::<Vec<_>>();
        let access_key_id = rest.into_iter().rev().collect::<Vec<_>>().join("/");
        (!access_key_id.is_empty()).then(|| Self { access_key_id, date: date.to_owned(), region, service })
    }
}

/// Reads the credential from the `Authorization` header, or from the query of a presigned URL.
pub fn credential(headers: &HeaderMap, uri: &Uri) -> Option<Credential> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((_, rest)) = header.and_then(|header| header.split_once("Credential=")) {
        return Credential::parse(rest.split([',', ' ']).next()?);
    }
    let query = uri.query()?;
    let (_, value) = crate::parameters(query).find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential"))?;
    Credential::parse(&value)
}

/// Reads the session token that temporary credentials come with, from its header or from the query of a presigned URL.
pub fn session_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    const NAME: &str = "x-amz-security-token";
    if let Some(token) = headers.get(NAME) {
        return token.to_str().ok().map(str::to_owned);
    }
    let (_, token) = crate::parameters(uri.query()?).find(|(name, _)| name.eq_ignore_ascii_case(NAME))?;
    Some(token.into_owned())
}

/// Names the caller: `known` is the account of credentials that were given out here; else a 12-digit access key id is the
/// account. The signature's region is the region; `default` is for what is not said.
pub fn caller(credential: Option<Credential>, known: Option<AccountId>, default: &Scope, request_id: String) -> Caller {
    let named = || credential.as_ref().and_then(|credential| AccountId::parse(&credential.access_key_id));
    let account = known.or_else(named).unwrap_or(default.account);
    let region = credential.as_ref().and_then(|credential| credential.region.as_deref()).and_then(Region::parse);
    let scope = Scope::new(account, region.unwrap_or_else(|| default.region.clone()));
    Caller { scope, access_key_id: credential.map(|credential| credential.access_key_id), request_id, host: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(authorization: &str) -> Option<Credential> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        credential(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn the_header_names_key_region_and_service() {
        let found = signed(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/eu-west-1/ecs/aws4_request, SignedHeaders=host, Signature=ab",
        );
        let expected = Credential {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            date: "20261120".to_owned(),
            region: Some("eu-west-1".to_owned()),
            service: "ecs".to_owned(),
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn a_presigned_url_names_them_too() {
        let uri = Uri::from_static(
            "/?X-Amz-Algorithm=a&X-Amz-Credential=123456789012%2F20261120%2Fus-east-2%2Fsts%2Faws4_request",
        );
        let found = credential(&HeaderMap::new(), &uri).unwrap();
        assert_eq!((found.access_key_id.as_str(), found.service.as_str()), ("123456789012", "sts"));
    }

    #[test]
    fn the_token_of_a_session_is_in_a_header_or_in_the_query() {
        let (mut headers, uri) = (HeaderMap::new(), Uri::from_static("/?X-Amz-Security-Token=a%2Bb%3D"));
        assert_eq!(session_token(&headers, &Uri::from_static("/?a=b")), None);
        assert_eq!(session_token(&headers, &uri).as_deref(), Some("a+b="));
        headers.insert("X-Amz-Security-Token", "c".parse().unwrap());
        assert_eq!(session_token(&headers, &uri).as_deref(), Some("c"));
    }

    #[test]
    fn other_authorizations_name_nobody() {
        for text in [
            "Bearer abc",
            "Basic QVdTOg==",
            "AWS4-HMAC-SHA256 Credential=a/b",
            "x Credential=/20261120/r/s/aws4_request",
            "Credential=",
        ] {
            assert_eq!(signed(text), None, "{text}");
        }
        assert_eq!(credential(&HeaderMap::new(), &Uri::from_static("/?a=b")), None);
    }

    #[test]
    fn a_twelve_digit_key_is_the_account() {
        let default = Scope::new(AccountId::DEFAULT, Region::default());
        let key = signed("A Credential=123456789012/20261120/eu-west-1/ecs/aws4_request");
        let found = caller(key, None, &default, "id".to_owned());
        assert_eq!((found.scope.account.as_str(), found.scope.region.as_str()), ("123456789012", "eu-west-1"));
        let found = caller(signed("A Credential=test/20261120/ecs/aws4_request"), None, &default, "id".to_owned());
        assert_eq!((&found.scope, found.access_key_id.as_deref()), (&default, Some("test")));
        assert_eq!(caller(None, None, &default, "id".to_owned()).access_key_id, None);
        let known = AccountId::parse("210987654321");
        let found = caller(signed("A Credential=ASIAX/20261120/r/ecs/aws4_request"), known, &default, "id".to_owned());
        assert_eq!(Some(found.scope.account), known);
    }
}
