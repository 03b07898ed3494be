//! GetObject and HeadObject.

use std::fs::File;
use std::io;
use std::sync::Arc;

use api::s3 as api;
use aws_smithy_types::date_time::Format;
use state::Cx;
use state::s3::{Held, Object, Piece};
use wire::{ApiError, ByteRange, Content, Source, Stretch};

use crate::checksum::{self, set_checksum};
use crate::condition::{Conditions, Verdict};
use crate::range;
use crate::{error, key};

/// Objects of more files than this are opened file by file, and held until then: a process may have only so many open.
const OPEN_FILES_MAX: usize = 32;
/// How often an object is looked up again whose files went before they were opened, because it was replaced.
const OPEN_TRIES: usize = 4;

/// The part of an object that is sent.
struct Selection {
    start: u64,
    end: u64,
    /// Whether it is told as a part.
    is_partial: bool,
}

/// Fills the output of a request for an object; both call their members alike.
macro_rules! fill {
    ($output:expr, $input:expr, $object:expr, $selection:expr) => {{
        let (object, selection) = ($object, $selection);
        let description = object.description.clone();
        let replaced = |asked: &Option<String>, known: Option<String>| asked.clone().or(known);
        $output.accept_ranges = Some("bytes".to_owned());
        $output.last_modified = Some(object.last_modified.into());
        $output.content_length = i64::try_from(selection.end - selection.start).ok();
        $output.e_tag = Some(format!("\"{}\"", object.etag));
        $output.cache_control = replaced(&$input.response_cache_control, description.cache_control);
        $output.content_disposition = replaced(&$input.response_content_disposition, description.content_disposition);
        $output.content_encoding = replaced(&$input.response_content_encoding, description.content_encoding);
        $output.content_language = replaced(&$input.response_content_language, description.content_language);
        $output.content_type = replaced(&$input.response_content_type, description.content_type);
        let expires = $input.response_expires.and_then(|at| at.fmt(Format::HttpDate).ok());
        $output.expires = expires.or(description.expires);
        $output.website_redirect_location = description.website_redirect_location;
        $output.storage_class = description.storage_class.map(|class| class.as_str().into());
        $output.metadata = Some(description.metadata);
        $output.parts_count =
            $input.part_number.and_then(|_| i32::try_from(object.part_sizes.len()).ok()).filter(|n| *n > 0);
        if selection.is_partial {
            $output.status_code = Some(206);
            let last = selection.end.saturating_sub(1);
            $output.content_range = Some(format!("bytes {}-{last}/{}", selection.start, object.size));
        } else if $input.checksum_mode.is_some() {
            set_checksum!($output, &object.checksum);
            $output.checksum_type = object.checksum.as_ref().map(checksum::kind);
        }
    }};
}

/// Sends an object, or a part of it.
pub(crate) async fn get_object(cx: &Cx, mut input: api::GetObjectRequest) -> Result<api::GetObjectOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket.take(), input.expected_bucket_owner.as_deref())?;
    key::version(input.version_id.as_deref())?;
    let key = input.key.take().unwrap_or_default();
    let conditions = Conditions {
        if_match: input.if_match.as_deref(),
        if_none_match: input.if_none_match.as_deref(),
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    let mut tries = OPEN_TRIES;
    loop {
        let object = cx.state.s3.object(&bucket, &key).ok_or_else(|| error::no_such_key(&key))?;
        judge(&conditions, &object)?;
        let selection = select(&object, input.range.as_deref(), input.part_number)?;
        let stretches = match open(cx, &range::cut(&object.pieces, selection.start, selection.end)) {
            Ok(stretches) => stretches,
            Err(error) => {
                tries -= 1;
                if error.kind() == io::ErrorKind::NotFound && tries > 0 {
                    continue;
                }
                return Err(error::broken(&error).into());
            }
        };
        let mut output =
            api::GetObjectOutput { body: Some(Content::Stretches(stretches)), ..api::GetObjectOutput::default() };
        fill!(output, input, &object, &selection);
        return Ok(output);
    }
}

/// Says about an object what sending it would say.
pub(crate) async fn head_object(
    cx: &Cx,
    mut input: api::HeadObjectRequest,
) -> Result<api::HeadObjectOutput, api::Error> {
    let (bucket, _) = key::bucket(cx, input.bucket.take(), input.expected_bucket_owner.as_deref())?;
    key::version(input.version_id.as_deref())?;
    let key = input.key.take().unwrap_or_default();
    let object = cx.state.s3.object(&bucket, &key).ok_or_else(|| error::no_such_key(&key))?;
    let conditions = Conditions {
        if_match: input.if_match.as_deref(),
        if_none_match: input.if_none_match.as_deref(),
        if_modified_since: input.if_modified_since,
        if_unmodified_since: input.if_unmodified_since,
    };
    judge(&conditions, &object)?;
    let selection = select(&object, input.range.as_deref(), input.part_number)?;
    let mut output = api::HeadObjectOutput::default();
    fill!(output, input, &object, &selection);
    Ok(output)
}

fn judge(conditions: &Conditions<'_>, object: &Object) -> Result<(), ApiError> {
    match conditions.judge(object) {
        Verdict::Holds => Ok(()),
        Verdict::Fails(condition) => Err(error::precondition_failed(condition)),
        Verdict::NotModified => Err(error::not_modified()),
    }
}

/// Finds which bytes of an object a request is for.
fn select(object: &Object, range: Option<&str>, part_number: Option<i32>) -> Result<Selection, ApiError> {
    let everything = Selection { start: 0, end: object.size, is_partial: false };
    let (range, number) = match (range, part_number) {
        (None, None) => return Ok(everything),
        (Some(_), Some(_)) => {
            return Err(error::invalid_request("Cannot specify both Range header and partNumber query parameter"));
        }
        (Some(range), None) => (range, 0),
        (None, Some(number)) => ("", number),
    };
    if number == 0 && part_number.is_none() {
        return match ByteRange::parse(range, object.size) {
            ByteRange::Everything => Ok(everything),
            ByteRange::Part(start, end) => Ok(Selection { start, end, is_partial: true }),
            ByteRange::Unsatisfiable => Err(error::invalid_range(range, object.size)),
        };
    }
    let sizes: &[u64] = if object.part_sizes.is_empty() { &[object.size] } else { &object.part_sizes };
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let index = index.filter(|index| *index < sizes.len()).ok_or_else(error::invalid_part_number)?;
    let start = sizes[..index].iter().sum();
    // An empty object has no range that could be told.
    Ok(Selection { start, end: start + sizes[index], is_partial: object.size > 0 })
}

fn open(cx: &Cx, pieces: &[Piece]) -> io::Result<Vec<Stretch>> {
    let held = (pieces.len() > OPEN_FILES_MAX).then(|| Arc::new(cx.state.s3.hold(pieces)));
    let stretches = pieces.iter().map(|piece| {
        let path = cx.state.s3.blobs().path(&piece.blob)?;
        let source = match &held {
            None => Source::Open(Arc::new(File::open(path)?)),
            Some(held) => {
                // It may have gone before it was held.
                path.metadata()?;
                Source::Path { path, held: Arc::<Held>::clone(held) }
            }
        };
        Ok(Stretch { source, offset: piece.offset, length: piece.length })
    });
    stretches.collect()
}
