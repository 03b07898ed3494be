//! What the paths of a registry name.

use percent_encoding::percent_decode_str;

/// The longest name of a repository; ECR's limit.
const NAME_LENGTH_MAX: usize = 256;

/// What a path names. Names, digests and tags are as they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`: whether there is a registry, and whether one is logged in.
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags { name: String },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: String, digest: String },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: String, digest: String },
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: String },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload { name: String, id: String },
    /// `/v2/<name>/manifests/<reference>`
    Manifest { name: String, reference: String },
    /// Nothing that a registry has.
    Unknown,
}

impl Route {
    /// Reads a path. A name may have any number of parts, among them `blobs` or `tags`, so the end is read first.
    pub(crate) fn of(path: &str) -> Self {
        let path = decoded(path);
        let Some(rest) = path.strip_prefix("/v2") else { return Self::Unknown };
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() {
            return Self::Base;
        }
        if rest == "_catalog" {
            return Self::Catalog;
        }
        let (rest, last) = rest.rsplit_once('/').unwrap_or(("", rest));
        let (before, kind) = rest.rsplit_once('/').unwrap_or(("", rest));
        let (name, last) = (before.to_owned(), last.to_owned());
        match (kind, last.as_str()) {
            ("blobs", "uploads") => Self::Uploads { name },
            ("uploads", _) if let Some(name) = before.strip_suffix("/blobs") => {
                let name = name.to_owned();
                if last.is_empty() { Self::Uploads { name } } else { Self::Upload { name, id: last } }
            }
            (_, "") => Self::Unknown,
            ("tags", "list") => Self::Tags { name },
            ("blobs", _) => Self::Blob { name, digest: last },
            ("manifests", _) => Self::Manifest { name, reference: last },
            ("referrers", _) => Self::Referrers { name, digest: last },
            _ => Self::Unknown,
        }
    }
}

/// Tells whether a text can name a repository: words of lower-case letters and digits, joined by separators.
pub(crate) fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let is_part =
        |part: &str| part.starts_with(is_word) && part.ends_with(is_word) && part.split(is_word).all(is_separator);
    name.len() <= NAME_LENGTH_MAX && name.split('/').all(is_part)
}

/// Decodes what is percent-encoded.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let name = || "a/blobs/tags".to_owned();
        for (path, route) in [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/blobs/tags/tags/list", Route::Tags { name: name() }),
            ("/v2/a/blobs/tags/blobs/sha256%3Aab", Route::Blob { name: name(), digest: "sha256:ab".to_owned() }),
            ("/v2/a/blobs/tags/blobs/uploads/", Route::Uploads { name: name() }),
            ("/v2/a/blobs/tags/blobs/uploads", Route::Uploads { name: name() }),
            ("/v2/a/blobs/tags/blobs/uploads/1-2", Route::Upload { name: name(), id: "1-2".to_owned() }),
            ("/v2/a/blobs/tags/manifests/v1", Route::Manifest { name: name(), reference: "v1".to_owned() }),
            ("/v2/a/blobs/tags/referrers/sha256:ab", Route::Referrers { name: name(), digest: "sha256:ab".to_owned() }),
            ("/v2/app/blobs/blobs/uploads/", Route::Uploads { name: "app/blobs".to_owned() }),
            ("/v2/app/blobs/blobs/uploads/1-2", Route::Upload { name: "app/blobs".to_owned(), id: "1-2".to_owned() }),
            ("/v2/a/manifests/", Route::Unknown),
            ("/v2/a", Route::Unknown),
            ("/v2/tags/list", Route::Tags { name: String::new() }),
            ("/v1/", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn names_are_words_and_separators() {
        for name in ["a", "web", "team/web", "a.b_c__d-e---f/g", "0/1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "a/", "/a", "a//b", "-a", "a-", "a..b", "a___b", "a._b", "a b", "ä", &"a".repeat(257)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
