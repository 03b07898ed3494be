//! Image references: `httpd:2.4` is `docker.io/library/httpd:2.4`.

use std::fmt;
use std::str::FromStr;

use node::ImageError;

use crate::digest::Digest;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// Docker's bound on registry and repository together.
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// The name of an image, whole: what docker would make of what a user wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{reference}` is not an image reference: {why}")]
pub struct InvalidReference {
    /// The text as given.
    pub reference: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Reference {
    /// Reads a reference and fills in what docker would: the registry `docker.io`, the folder `library/`, and the tag
    /// `latest` where there is neither tag nor digest.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|why| InvalidReference { reference: text.to_owned(), why })
    }

    /// Returns the registry's host, with its port if it has one: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository inside the registry: `library/httpd`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag. Only a reference with a digest may lack one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest that the image must have.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Returns registry and repository: `docker.io/library/httpd`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the reference by its digest alone, if it has one.
    pub(crate) fn pinned(&self) -> Option<String> {
        self.digest.map(|digest| format!("{}@{digest}", self.name()))
    }

    /// Returns the reference without its digest, if a tag is left.
    pub(crate) fn tagged(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}/{}:{tag}", self.registry, self.repository))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<InvalidReference> for ImageError {
    fn from(error: InvalidReference) -> Self {
        Self::InvalidReference { reference: error.reference, why: error.why.to_owned() }
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if Digest::from_hex(text).is_some() {
        return Err("it is a bare image id, not a name");
    }
    let (tagged, digest) = match text.split_once('@') {
        Some((tagged, digest)) => {
            (tagged, Some(Digest::parse(digest).ok_or("the digest is not `sha256:` and 64 hexadecimal digits")?))
        }
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let path_at = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match tagged[path_at..].find(':') {
        Some(colon) => (&tagged[..path_at + colon], Some(&tagged[path_at + colon + 1..])),
        None => (tagged, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag is not up to 128 letters, digits, `_`, `.` and `-`, or starts with `.` or `-`");
    }
    let (registry, repository) = split_registry(name)?;
    if registry.len() + 1 + repository.len() > NAME_BYTES_MAX {
        return Err("the name is longer than 255 characters");
    }
    let tag = tag.or_else(|| digest.is_none().then_some(DEFAULT_TAG)).map(str::to_owned);
    Ok(Reference { registry, repository, tag, digest })
}

/// Splits the name as docker does: what stands before the first slash is a registry if it could not be a folder.
fn split_registry(name: &str) -> Result<(String, String), &'static str> {
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_registry_like(host) => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    if !is_host(registry) {
        return Err("the registry is not a host name with an optional port");
    }
    if path.is_empty() {
        return Err("it names no repository");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    if !path.split('/').all(is_path_component) {
        return Err("the repository is not lower-case letters and digits with single separators `.`, `_`, `-` and `/`");
    }
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    let is_short = registry == DEFAULT_REGISTRY && !path.contains('/');
    Ok((registry.to_owned(), if is_short { format!("library/{path}") } else { path.to_owned() }))
}

fn is_registry_like(host: &str) -> bool {
    host.contains(['.', ':']) || host == "localhost" || host.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, port.strip_prefix(':').or(Some(""))),
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_port = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let is_name = if text.starts_with('[') {
        host.contains(':') && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
    } else {
        host.split('.').all(is_host_label)
    };
    is_port && is_name
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Says whether runs of letters and digits are parted by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well = bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    ends_well
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_normalised_as_docker_does() {
        let at = |name: &str| format!("{name}@{DIGEST}");
        let rows = [
            ("httpd", "docker.io/library/httpd:latest"),
            ("httpd:2.4", "docker.io/library/httpd:2.4"),
            ("library/httpd:2.4", "docker.io/library/httpd:2.4"),
            ("docker.io/httpd:2.4", "docker.io/library/httpd:2.4"),
            ("docker.io/library/httpd:2.4", "docker.io/library/httpd:2.4"),
            ("index.docker.io/httpd:2.4", "docker.io/library/httpd:2.4"),
            ("amazon/amazon-ecs-sample", "docker.io/amazon/amazon-ecs-sample:latest"),
            ("a/b/c", "docker.io/a/b/c:latest"),
            ("public.ecr.aws/docker/library/httpd:2.4", "public.ecr.aws/docker/library/httpd:2.4"),
            (
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1",
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1",
            ),
            (
                "123456789012.dkr.ecr.eu-west-1.localhost:4566/app",
                "123456789012.dkr.ecr.eu-west-1.localhost:4566/app:latest",
            ),
            ("ghcr.io/owner/app", "ghcr.io/owner/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("localhost:5000/app:1", "localhost:5000/app:1"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("localhost", "docker.io/library/localhost:latest"),
            ("registry:5000/a/b:c", "registry:5000/a/b:c"),
            ("registry/app", "docker.io/registry/app:latest"),
            ("Registry/app", "Registry/app:latest"),
            ("127.0.0.1/app", "127.0.0.1/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("[fe80::1]/app", "[fe80::1]/app:latest"),
            ("app:_x", "docker.io/library/app:_x"),
            ("app:V1.0-RC_1", "docker.io/library/app:V1.0-RC_1"),
            ("my__app", "docker.io/library/my__app:latest"),
            ("my---app.x_y", "docker.io/library/my---app.x_y:latest"),
            ("0app", "docker.io/library/0app:latest"),
        ];
        for (given, expected) in rows {
            assert_eq!(Reference::parse(given).map(|r| r.to_string()).as_deref(), Ok(expected), "{given}");
        }
        for (given, expected) in [
            (at("httpd"), at("docker.io/library/httpd")),
            (at("httpd:2.4"), at("docker.io/library/httpd:2.4")),
            (at("localhost:5000/a"), at("localhost:5000/a")),
        ] {
            assert_eq!(Reference::parse(&given).map(|r| r.to_string()), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let rows = [
            "",
            ":",
            "/",
            ":tag",
            "httpd:",
            "httpd:a b",
            "httpd:.x",
            "httpd:-x",
            "httpd:2:4",
            "HTTPD",
            "library/HTTPD",
            "a//b",
            "/a",
            "a/",
            "docker.io/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a b",
            "a\n",
            "ä",
            "http://docker.io/httpd",
            "-.example.com/a",
            "example-.com/a",
            "example.com:/a",
            "example.com:5x/a",
            "[::1/a",
            "[::1]x/a",
            "a/../b",
            "httpd@",
            "httpd@sha256:abc",
            "httpd@sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            &DIGEST[7..],
        ];
        for given in rows {
            assert!(Reference::parse(given).is_err(), "{given}");
        }
    }

    #[test]
    fn lengths_are_bounded_as_docker_bounds_them() {
        let repository = "a".repeat(NAME_BYTES_MAX - "docker.io/library/".len());
        assert!(Reference::parse(&repository).is_ok());
        assert!(Reference::parse(&format!("{repository}a")).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(TAG_BYTES_MAX))).is_ok());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(TAG_BYTES_MAX + 1))).is_err());
    }

    #[test]
    fn the_parts_of_a_reference_can_be_asked_for() {
        let reference =
            Reference::parse(&format!("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1@{DIGEST}")).unwrap();
        assert_eq!(reference.registry(), "123456789012.dkr.ecr.us-east-1.amazonaws.com");
        assert_eq!(reference.repository(), "team/app");
        assert_eq!(reference.tag(), Some("v1"));
        assert_eq!(reference.digest(), Digest::parse(DIGEST));
    }
}
