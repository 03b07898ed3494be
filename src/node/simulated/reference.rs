//! Image references, as far as a node without images must know them.

use crate::ImageError;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const TAG_BYTES_MAX: usize = 128;
const DIGEST_DIGITS: usize = 64;

/// A whole image reference: what docker would make of what a user wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Reference(String);

impl Reference {
    /// Reads a reference and fills in registry, `library/` and tag as docker does.
    pub(super) fn parse(text: &str) -> Result<Self, ImageError> {
        let whole = whole(text);
        whole.map(Self).map_err(|why| ImageError::InvalidReference { reference: text.to_owned(), why: why.to_owned() })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn registry(&self) -> &str {
        self.0.split_once('/').map_or("", |(registry, _)| registry)
    }

    /// Returns the digest that the reference asks for, if it does.
    pub(super) fn digest(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, digest)| digest)
    }
}

fn whole(text: &str) -> Result<String, &'static str> {
    let (tagged, digest) = text.split_once('@').map_or((text, None), |(tagged, digest)| (tagged, Some(digest)));
    // A colon before the last slash belongs to the registry's port.
    let path_at = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match tagged[path_at..].split_once(':') {
        Some((last, tag)) => (&tagged[..path_at + last.len()], Some(tag)),
        None => (tagged, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_component = |part: &str| {
        let is_inside = |b| is_word(b) || matches!(b, b'.' | b'_' | b'-');
        part.bytes().next().is_some_and(is_word) && part.bytes().all(is_inside)
    };
    if !path.split('/').all(is_component) {
        return Err("the repository is not lower-case letters, digits, `.`, `_`, `-` and `/`");
    }
    if !registry.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':')) {
        return Err("the registry is not a host name with an optional port");
    }
    let is_tag = |tag: &str| {
        let is_inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=TAG_BYTES_MAX).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(is_inside)
    };
    if !tag.is_none_or(is_tag) {
        return Err("the tag is not up to 128 letters, digits, `.`, `_` and `-`");
    }
    let is_digest = |digest: &str| {
        let digits = digest.strip_prefix("sha256:").unwrap_or_default();
        digits.len() == DIGEST_DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !digest.is_none_or(is_digest) {
        return Err("the digest is not `sha256:` and 64 hexadecimal digits");
    }
    let library = if registry == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
    let tag = tag.or_else(|| digest.is_none().then_some(DEFAULT_TAG)).map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    Ok(format!("{registry}/{library}{path}{tag}{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let cases = [
            ("httpd", "docker.io/library/httpd:latest".to_owned()),
            ("httpd:2.4", "docker.io/library/httpd:2.4".to_owned()),
            ("me/app", "docker.io/me/app:latest".to_owned()),
            ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
            ("public.ecr.aws/docker/library/httpd:2", "public.ecr.aws/docker/library/httpd:2".to_owned()),
            (&format!("httpd@{digest}"), format!("docker.io/library/httpd@{digest}")),
        ];
        for (text, whole) in cases {
            assert_eq!(Reference::parse(text).unwrap().as_str(), whole, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_reference_is_refused() {
        for text in ["", "Httpd", "a//b", "a:", "a:b c", "a/", ":x", "a@sha256:00", "exa mple.com/a", "a:.b", "-a"] {
            assert!(matches!(Reference::parse(text), Err(ImageError::InvalidReference { .. })), "{text}");
        }
    }
}
