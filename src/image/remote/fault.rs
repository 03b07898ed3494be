//! What went wrong between here and a registry.

use std::error::Error;
use std::io;

use node::NetworkFault;
use serde::Deserialize;

/// The most of an error's body that is read.
pub(super) const ERROR_BYTES_MAX: usize = 64 * 1024;
/// The most of a registry's message that is told on.
const MESSAGE_CHARS_MAX: usize = 512;

/// Says why a request to `address` came to nothing.
pub(super) fn network_fault(error: &reqwest::Error, address: &str) -> NetworkFault {
    let causes = || causes(error);
    let kind = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let tls = causes().find_map(tls_fault);
    if let Some(fault) = tls {
        return NetworkFault::Tls(fault);
    }
    if error.is_connect() {
        return match kind {
            _ if error.is_timeout() => NetworkFault::ConnectTimeout(address.to_owned()),
            Some(io::ErrorKind::TimedOut) => NetworkFault::ConnectTimeout(address.to_owned()),
            Some(io::ErrorKind::ConnectionRefused) => NetworkFault::Refused(address.to_owned()),
            _ if causes().any(|cause| cause.to_string().contains("dns error")) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                NetworkFault::Lookup(host.to_owned())
            }
            _ => NetworkFault::Other(root_cause(error)),
        };
    }
    if error.is_timeout() {
        return NetworkFault::Timeout;
    }
    if error.is_redirect() || error.is_builder() {
        return NetworkFault::Other(root_cause(error));
    }
    NetworkFault::Broken
}

fn tls_fault(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(fault) = cause.downcast_ref::<rustls::Error>() {
        return Some(fault.to_string());
    }
    // An error in an error of the kernel's kind is not among its sources.
    tls_fault(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| Error::source(*cause))
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads what a registry says is wrong, as container engines show it: `toomanyrequests: You have …`.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let errors = serde_json::from_slice::<Errors>(body).ok()?.errors;
    let shown = errors.iter().map(|error| {
        let code = error.code.to_ascii_lowercase().replace('_', if error.code == "TOOMANYREQUESTS" { "" } else { " " });
        if error.message.is_empty() { code } else { format!("{code}: {}", error.message) }
    });
    let text = shown.collect::<Vec<_>>().join(", ");
    let harmless = text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(MESSAGE_CHARS_MAX);
    (!text.is_empty()).then(|| harmless.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tls_is_found_in_what_it_is_wrapped_in() {
        let wrapped = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert_eq!(tls_fault(&wrapped), Some(rustls::Error::DecryptError.to_string()));
        assert_eq!(tls_fault(&io::Error::from(io::ErrorKind::Other)), None);
    }

    #[test]
    fn what_registries_say_is_shown_as_engines_show_it() {
        let rows = [
            (r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Slow down"}]}"#, Some("toomanyrequests: Slow down")),
            (r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m","detail":{}}]}"#, Some("manifest unknown: m")),
            (r#"{"errors":[{"code":"DENIED"},{"code":"X","message":"a\nb"}]}"#, Some("denied, x: a b")),
            (r#"{"errors":[]}"#, None),
            ("<html>", None),
        ];
        for (body, expected) in rows {
            assert_eq!(message(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
