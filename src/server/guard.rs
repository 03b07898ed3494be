//! Refuses requests that a web page could forge.
//!
//! The server starts containers as root and takes any credentials, so a page in the user's browser must not be able to
//! talk to it: neither by a cross-site request (which carries a foreign `Origin`, or, where it is a mere GET of an image or
//! a script, `Sec-Fetch-Site`) nor by DNS rebinding (which carries the page's own name as `Host`). An IP address as `Host` is no rebinding: there was no name to rebind.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::request::Parts;

/// Domains under which AWS's own endpoints lie; clients inside tasks use those names.
const AWS_DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws"];

/// How the page that sends a request is related to whom it is sent to.
const SEC_FETCH_SITE: http::HeaderName = http::HeaderName::from_static("sec-fetch-site");

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A web page of another site sent it.
    Origin(String),
    /// A web page of another site fetched it without saying which page it is.
    Page,
    /// It is for a name that is not this machine's.
    Host(String),
}

impl Refusal {
    /// Says what was refused and how it can be allowed.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Origin(origin) => format!("Requests from the web page {origin} are refused."),
            Self::Page => "Requests from web pages of other sites are refused.".to_owned(),
            Self::Host(host) => format!(
                "Requests for the host {host} are refused. If it is a name of this machine, allow it: neargate serve \
                 --allow-host {host}"
            ),
        }
    }
}

/// Checks where a request comes from and whom it is for. `allowed` holds further host names.
pub(crate) fn check(request: &Parts, allowed: &[String]) -> Result<(), Refusal> {
    let text = |name: &http::HeaderName| request.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(origin) = text(&ORIGIN) {
        let host = origin.split_once("://").map(|(_, authority)| host_of(authority));
        if !host.is_some_and(is_this_machine) {
            return Err(Refusal::Origin(origin.to_owned()));
        }
    }
    // Browsers alone send this header. Query protocols take their actions by GET, which carries no `Origin`.
    if let Some(site) = text(&SEC_FETCH_SITE)
        && text(&ORIGIN).is_none()
        && !matches!(site, "same-origin" | "none")
    {
        return Err(Refusal::Page);
    }
    let authority = request.uri.authority().map(http::uri::Authority::as_str);
    for host in [authority, text(&HOST)].into_iter().flatten() {
        let name = host_of(host).to_ascii_lowercase();
        if !(is_this_machine(&name) || name.parse::<IpAddr>().is_ok() || is_aws_host(&name) || allowed.contains(&name))
        {
            return Err(Refusal::Host(name));
        }
    }
    Ok(())
}

/// Says whether a host, with or without a port, is an endpoint of AWS by its name.
pub(crate) fn is_aws_host(authority: &str) -> bool {
    let name = host_of(authority).to_ascii_lowercase();
    AWS_DOMAINS.iter().any(|domain| name.ends_with(domain))
}

/// Takes the port off, and the brackets of an IPv6 address.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let mut request = http::Request::post("/").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        check(&request.body(()).unwrap().into_parts().0, &["neargate.test".to_owned()])
    }

    #[test]
    fn names_and_addresses_of_this_machine_are_served() {
        for host in [
            "127.0.0.1:4566",
            "localhost:4566",
            "LOCALHOST",
            "[::1]:4566",
            "172.31.0.9:4566",
            "123456789012.dkr.ecr.us-east-1.localhost:4566",
            "ecs.us-east-1.amazonaws.com",
            "neargate.test:4566",
        ] {
            assert_eq!(verdict(host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn names_of_others_are_refused() {
        for host in ["evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example", "amazonaws.com.evil", ""]
        {
            assert!(matches!(verdict(host, None), Err(Refusal::Host(_))), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://10.0.0.1", "localhost"]
        {
            assert!(matches!(verdict("localhost", Some(origin)), Err(Refusal::Origin(_))), "{origin}");
        }
        for origin in ["http://localhost:3000", "http://127.0.0.1:4566", "http://[::1]:4566"] {
            assert_eq!(verdict("localhost", Some(origin)), Ok(()), "{origin}");
        }
    }

    #[test]
    fn what_a_page_fetches_without_an_origin_is_refused_by_its_site() {
        let verdict = |site: &str, origin: Option<&str>| {
            let mut request = http::Request::get("/").header(HOST, "localhost").header("sec-fetch-site", site);
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            check(&request.body(()).unwrap().into_parts().0, &[]).is_ok()
        };
        assert!(!verdict("cross-site", None));
        assert!(!verdict("same-site", None));
        assert!(verdict("same-origin", None));
        assert!(verdict("none", None), "the user typed the address");
        assert!(verdict("cross-site", Some("http://localhost:3000")), "a page of this machine");
    }

    #[test]
    fn an_absolute_request_target_is_held_to_the_same_rule() {
        let request = http::Request::post("http://evil.example/").header(HOST, "localhost").body(()).unwrap();
        assert!(check(&request.into_parts().0, &[]).is_err());
    }
}
