//! Buckets.

use api::s3 as api;
use base::PageToken;
use state::Cx;
use state::s3::{Bucket, Refusal};
use wire::checksum::{hex, md5};

use crate::{error, key};

/// The region whose buckets have no location constraint.
const CLASSIC_REGION: &str = "us-east-1";
/// What page tokens of this listing are for.
const LISTING: &str = "ListBuckets";
/// The most buckets of a page, as in S3.
const BUCKETS_MAX: i32 = 10_000;

/// Makes a bucket.
pub(crate) async fn create_bucket(
    cx: &Cx,
    input: api::CreateBucketRequest,
) -> Result<api::CreateBucketOutput, api::Error> {
    let name = input.bucket.unwrap_or_default();
    if !key::is_bucket_name(&name) {
        return Err(error::invalid_bucket_name(&name).into());
    }
    let constraint = input.create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    let region = region(cx.scope().region.as_str(), constraint.as_ref().map(api::BucketLocationConstraint::as_str))?;
    let region = base::Region::parse(&region).ok_or_else(error::invalid_location)?;
    let is_classic = region.as_str() == CLASSIC_REGION;
    let bucket = Bucket { owner: cx.scope().account, region, created_at: cx.now() };
    if let Err(found) = cx.state.s3.create_bucket(&name, bucket) {
        // In the oldest region, and there alone, making one's own bucket again succeeds and changes nothing.
        match found.owner == cx.scope().account {
            true if is_classic && found.region.as_str() == CLASSIC_REGION => {}
            true => return Err(error::bucket_already_owned_by_you(&name).into()),
            false => return Err(error::bucket_already_exists(&name).into()),
        }
    }
    let location = if is_classic { format!("/{name}") } else { format!("http://{name}.s3.amazonaws.com/") };
    Ok(api::CreateBucketOutput { location: Some(location), bucket_arn: Some(arn(&name)) })
}

/// Removes an empty bucket.
pub(crate) async fn delete_bucket(cx: &Cx, input: api::DeleteBucketRequest) -> Result<(), api::Error> {
    let (name, _) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    cx.state.s3.delete_bucket(&name).map_err(|refusal| match refusal {
        Refusal::NotEmpty => error::bucket_not_empty(&name),
        Refusal::NoSuchBucket | Refusal::NotFound => error::no_such_bucket(&name),
        Refusal::Other(never) => match never {},
    })?;
    Ok(())
}

/// Says that a bucket is there, and where.
pub(crate) async fn head_bucket(cx: &Cx, input: api::HeadBucketRequest) -> Result<api::HeadBucketOutput, api::Error> {
    let (name, bucket) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    Ok(api::HeadBucketOutput {
        bucket_arn: Some(arn(&name)),
        bucket_region: Some(bucket.region.to_string()),
        access_point_alias: Some(false),
        ..api::HeadBucketOutput::default()
    })
}

/// Lists the caller's buckets, of all regions.
pub(crate) async fn list_buckets(
    cx: &Cx,
    input: api::ListBucketsRequest,
) -> Result<api::ListBucketsOutput, api::Error> {
    let is_paged = input.max_buckets.is_some() || input.continuation_token.is_some();
    let size = match input.max_buckets.unwrap_or(BUCKETS_MAX) {
        size @ 1..=BUCKETS_MAX => usize::try_from(size).unwrap_or_default(),
        size => {
            let message = "Argument max-buckets must be an integer between 1 and 10000";
            return Err(error::invalid_argument("max-buckets", &size.to_string(), message).into());
        }
    };
    let after = input.continuation_token.map(|token| {
        let message = "The continuation token provided is incorrect";
        PageToken::decode(LISTING, &token).map_err(|_| error::invalid_argument("continuation-token", &token, message))
    });
    let prefix = input.prefix.unwrap_or_default();
    let region = input.bucket_region;
    let found = cx.state.s3.buckets_of(cx.scope().account, after.transpose()?).filter(|(name, bucket)| {
        name.starts_with(&prefix) && region.as_ref().is_none_or(|region| bucket.region.as_str() == region)
    });
    let page = base::Page::cut(LISTING, size, found, |(name, _)| name.clone());
    let buckets = page.items.into_iter().map(|(name, bucket)| api::Bucket {
        creation_date: Some(bucket.created_at.into()),
        // Only listings by page say more than name and date.
        bucket_region: is_paged.then(|| bucket.region.to_string()),
        bucket_arn: Some(arn(&name)),
        name: Some(name),
    });
    Ok(api::ListBucketsOutput {
        buckets: Some(buckets.collect()),
        owner: Some(owner(&cx.scope().account.to_string())),
        continuation_token: page.next,
        prefix: (!prefix.is_empty()).then_some(prefix),
    })
}

/// Names the region of a bucket.
pub(crate) async fn get_bucket_location(
    cx: &Cx,
    input: api::GetBucketLocationRequest,
) -> Result<api::GetBucketLocationOutput, api::Error> {
    let (_, bucket) = key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    let name = bucket.region.as_str();
    let constraint = api::BucketLocationConstraint::from(if name == CLASSIC_REGION { "" } else { name });
    Ok(api::GetBucketLocationOutput { location_constraint: Some(constraint) })
}

/// Says that a bucket keeps no versions.
pub(crate) async fn get_bucket_versioning(
    cx: &Cx,
    input: api::GetBucketVersioningRequest,
) -> Result<api::GetBucketVersioningOutput, api::Error> {
    key::bucket(cx, input.bucket, input.expected_bucket_owner.as_deref())?;
    Ok(api::GetBucketVersioningOutput::default())
}

/// Returns the owner that an account is shown as: a canonical user id of 64 hexadecimal digits.
pub(crate) fn owner(account: &str) -> api::Owner {
    let id = ["canonical", "user"].map(|part| hex(&md5(format!("{part}/{account}").as_bytes())));
    api::Owner { display_name: None, id: Some(id.concat()) }
}

fn arn(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

/// Decides where a bucket is made: an endpoint takes only its own region's, but the oldest one takes any.
fn region(endpoint: &str, constraint: Option<&str>) -> Result<String, wire::ApiError> {
    let incompatible = |named: &str| {
        let message = format!(
            "The {named} location constraint is incompatible for the region specific endpoint this request was sent to."
        );
        wire::ApiError::client("IllegalLocationConstraintException", message)
    };
    match constraint.filter(|constraint| !constraint.is_empty()) {
        None if endpoint == CLASSIC_REGION => Ok(endpoint.to_owned()),
        None => Err(incompatible("unspecified")),
        Some(CLASSIC_REGION) => Err(error::invalid_location()),
        Some("EU") if [CLASSIC_REGION, "eu-west-1"].contains(&endpoint) => Ok("eu-west-1".to_owned()),
        Some(constraint) if endpoint == CLASSIC_REGION || constraint == endpoint => Ok(constraint.to_owned()),
        Some(constraint) => Err(incompatible(constraint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_made_where_the_endpoint_and_the_constraint_agree() {
        for (endpoint, constraint, expected) in [
            ("us-east-1", None, Ok("us-east-1")),
            ("us-east-1", Some("eu-west-1"), Ok("eu-west-1")),
            ("us-east-1", Some("EU"), Ok("eu-west-1")),
            ("eu-west-1", Some("eu-west-1"), Ok("eu-west-1")),
            ("eu-west-1", None, Err("IllegalLocationConstraintException")),
            ("eu-west-1", Some("us-west-2"), Err("IllegalLocationConstraintException")),
            ("us-east-1", Some("us-east-1"), Err("InvalidLocationConstraint")),
        ] {
            let found = region(endpoint, constraint).map_err(|error| error.code().to_owned());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{endpoint} {constraint:?}");
        }
    }
}
