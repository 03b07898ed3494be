//! Conditional requests.

use aws_smithy_types::DateTime;
use state::s3::Object;
use wire::ApiError;

use crate::error;

/// The conditions of a request that reads an object.
#[derive(Debug, Default)]
pub(crate) struct Conditions<'a> {
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<DateTime>,
    pub(crate) if_unmodified_since: Option<DateTime>,
}

/// What conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They hold.
    Holds,
    /// This one does not.
    Fails(&'static str),
    /// The client has the object already.
    NotModified,
}

impl Conditions<'_> {
    /// Judges the conditions as RFC 9110 orders them: a tag counts more than a date.
    pub(crate) fn judge(&self, object: &Object) -> Verdict {
        // HTTP's dates have no fractions.
        let modified_s = object.last_modified.as_millis().div_euclid(1000);
        match (self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !matches(tags, &object.etag) => return Verdict::Fails("If-Match"),
            (None, Some(since)) if modified_s > since.secs() => return Verdict::Fails("If-Unmodified-Since"),
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if matches(tags, &object.etag) => Verdict::NotModified,
            (None, Some(since)) if modified_s <= since.secs() => Verdict::NotModified,
            _ => Verdict::Holds,
        }
    }

    /// Judges the conditions of a copy's source: what is not modified fails there.
    pub(crate) fn judge_source(&self, object: &Object) -> Result<(), ApiError> {
        match self.judge(object) {
            Verdict::Holds => Ok(()),
            Verdict::Fails("If-Match") => Err(error::precondition_failed("x-amz-copy-source-If-Match")),
            Verdict::Fails(_) => Err(error::precondition_failed("x-amz-copy-source-If-Unmodified-Since")),
            Verdict::NotModified if self.if_none_match.is_some() => {
                Err(error::precondition_failed("x-amz-copy-source-If-None-Match"))
            }
            Verdict::NotModified => Err(error::precondition_failed("x-amz-copy-source-If-Modified-Since")),
        }
    }
}

/// Judges the conditions of a request that puts an object where `found` is.
pub(crate) fn judge_put(
    key: &str,
    found: Option<&Object>,
    if_match: Option<&str>,
    if_none_match: Option<&str>,
) -> Result<(), ApiError> {
    match (if_none_match, found) {
        (Some("*"), Some(_)) => return Err(error::precondition_failed("If-None-Match")),
        (Some("*") | None, _) => {}
        (Some(_), _) => return Err(error::header_not_implemented()),
    }
    match (if_match, found) {
        (Some(_), None) => Err(error::no_such_key(key)),
        (Some(tags), Some(object)) if !matches(tags, &object.etag) => Err(error::precondition_failed("If-Match")),
        _ => Ok(()),
    }
}

/// Compares a list of entity tags, or `*`, with an entity tag.
pub(crate) fn matches(tags: &str, etag: &str) -> bool {
    let tag = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    tags.trim() == "*" || tags.split(',').any(|known| tag(known) == etag)
}

#[cfg(test)]
mod tests {
    use base::Timestamp;
    use state::s3::Description;

    use super::*;

    fn object() -> Object {
        Object {
            etag: "ab".to_owned(),
            size: 0,
            last_modified: Timestamp::from_millis(10_500),
            pieces: Vec::new(),
            part_sizes: Vec::new(),
            checksum: None,
            description: Description::default(),
        }
    }

    #[test]
    fn a_tag_counts_more_than_a_date() {
        let at = |secs| Some(DateTime::from_secs(secs));
        for (if_match, if_none_match, if_modified_since, if_unmodified_since, expected) in [
            (None, None, None, None, Verdict::Holds),
            (Some("\"ab\""), None, None, at(0), Verdict::Holds),
            (Some("x, ab"), None, None, None, Verdict::Holds),
            (Some("x"), Some("ab"), None, None, Verdict::Fails("If-Match")),
            (None, None, None, at(9), Verdict::Fails("If-Unmodified-Since")),
            (None, None, None, at(10), Verdict::Holds),
            (None, Some("*"), None, None, Verdict::NotModified),
            (None, Some("x"), at(99), None, Verdict::Holds),
            (None, None, at(10), None, Verdict::NotModified),
            (None, None, at(9), None, Verdict::Holds),
        ] {
            let conditions = Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since };
            assert_eq!(conditions.judge(&object()), expected, "{conditions:?}");
        }
    }

    #[test]
    fn a_put_may_demand_that_nothing_or_something_is_there() {
        let judge = |found: Option<&Object>, if_match, if_none_match| {
            judge_put("k", found, if_match, if_none_match).map_err(|error| error.code().to_owned())
        };
        assert_eq!(judge(None, None, Some("*")), Ok(()));
        assert_eq!(judge(Some(&object()), None, Some("*")), Err("PreconditionFailed".to_owned()));
        assert_eq!(judge(None, None, Some("ab")), Err("NotImplemented".to_owned()));
        assert_eq!(judge(None, Some("ab"), None), Err("NoSuchKey".to_owned()));
        assert_eq!(judge(Some(&object()), Some("ab"), None), Ok(()));
        assert_eq!(judge(Some(&object()), Some("x"), None), Err("PreconditionFailed".to_owned()));
    }
}
