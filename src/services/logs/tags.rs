//! Tags of log groups, by the operations that name an ARN and by the older ones that name a group.

use std::collections::BTreeMap;

use api::logs as api;
use base::{Arn, Scope};
use state::logs::LogGroup;
use state::{Cx, Tag};

use crate::{Error, Result, invalid, log_group, required};

/// How many tags a log group has at most, as in CloudWatch Logs.
const TAGS_MAX: usize = 50;
/// What begins the keys that are kept for AWS, in whatever case.
const RESERVED: &str = "aws:";

/// Adds tags to a log group; those with known keys replace what was there.
pub(crate) async fn tag_resource(cx: &Cx, input: api::TagResourceRequest) -> Result<()> {
    let name = parse(cx, input.resource_arn.clone())?;
    let tags = read(required(input.tags, "tags")?);
    put(cx, &name, tags, || {
        Error::TooManyTags(api::TooManyTagsException {
            message: Some(too_many()),
            resource_name: input.resource_arn.clone(),
        })
    })
}

/// Takes tags off a log group. Keys that it does not have are no error.
pub(crate) async fn untag_resource(cx: &Cx, input: api::UntagResourceRequest) -> Result<()> {
    let name = parse(cx, input.resource_arn)?;
    take(cx, &name, &required(input.tag_keys, "tagKeys")?)
}

/// Lists the tags of a log group.
pub(crate) async fn list_tags_for_resource(
    cx: &Cx,
    input: api::ListTagsForResourceRequest,
) -> Result<api::ListTagsForResourceResponse> {
    let name = parse(cx, input.resource_arn)?;
    Ok(api::ListTagsForResourceResponse { tags: Some(list(cx, &name)?) })
}

/// Adds tags to a log group, as older clients do.
pub(crate) async fn tag_log_group(cx: &Cx, input: api::TagLogGroupRequest) -> Result<()> {
    let name = required(input.log_group_name, "logGroupName")?;
    let tags = read(required(input.tags, "tags")?);
    put(cx, &name, tags, || invalid(too_many()))
}

/// Takes tags off a log group, as older clients do.
pub(crate) async fn untag_log_group(cx: &Cx, input: api::UntagLogGroupRequest) -> Result<()> {
    let name = required(input.log_group_name, "logGroupName")?;
    take(cx, &name, &required(input.tags, "tags")?)
}

/// Lists the tags of a log group, as older clients do.
pub(crate) async fn list_tags_log_group(
    cx: &Cx,
    input: api::ListTagsLogGroupRequest,
) -> Result<api::ListTagsLogGroupResponse> {
    let name = required(input.log_group_name, "logGroupName")?;
    Ok(api::ListTagsLogGroupResponse { tags: Some(list(cx, &name)?) })
}

/// Reads the tags of a request.
pub(crate) fn read(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Refuses tags that only AWS may make. (The text is unverified.)
pub(crate) fn check(tags: &[Tag]) -> Result<()> {
    match tags.iter().find(|tag| tag.key.to_ascii_lowercase().starts_with(RESERVED)) {
        Some(_) => Err(invalid("aws: prefixed tag key names are not allowed for external use.")),
        None => Ok(()),
    }
}

fn put(cx: &Cx, name: &str, tags: Vec<Tag>, too_many: impl FnOnce() -> Error) -> Result<()> {
    check(&tags)?;
    change(cx, name, |group| {
        Tag::put_all(tags, &mut group.tags);
        if group.tags.len() > TAGS_MAX { Err(too_many()) } else { Ok(()) }
    })
}

fn take(cx: &Cx, name: &str, keys: &[String]) -> Result<()> {
    change(cx, name, |group| {
        group.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })
}

fn list(cx: &Cx, name: &str) -> Result<BTreeMap<String, String>> {
    let group = cx.state.logs.groups.get(cx.scope(), &name.to_owned()).ok_or_else(log_group::not_found)?;
    Ok(group.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

fn change(cx: &Cx, name: &str, change: impl FnOnce(&mut LogGroup) -> Result<()>) -> Result<()> {
    let changed = cx.state.logs.groups.try_update(cx.scope(), &name.to_owned(), change);
    changed.ok_or_else(log_group::not_found)?.map(drop)
}

/// Reads the ARN of a log group of this account and region. AWS refuses the form with `:*` here, which DescribeLogGroups
/// gives out as `arn`.
fn parse(cx: &Cx, arn: Option<String>) -> Result<String> {
    let text = required(arn, "resourceArn")?;
    let parse = || {
        let arn = Arn::parse(&text).filter(|arn| arn.service() == "logs")?;
        let name = arn.resource().strip_prefix("log-group:")?;
        let scope = Scope::new(arn.account()?, arn.region()?);
        (!name.is_empty() && !name.contains([':', '*'])).then(|| (scope, name.to_owned()))
    };
    // Code and text were seen in reports of the form with `:*`, such as boto3's issue 4104; for others they are unverified.
    let (scope, name) = parse().ok_or_else(|| Error::Validation("Invalid resourceArn".to_owned()))?;
    if scope == *cx.scope() { Ok(name) } else { Err(log_group::not_found()) }
}

fn too_many() -> String {
    // Text unverified.
    format!("The maximum number of tags ({TAGS_MAX}) has been exceeded for the resource.")
}

#[cfg(test)]
mod tests {
    use crate::testing::{cx, group, send};

    const ARN: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/app";

    fn tags(from: usize, to: usize) -> String {
        let pairs = (from..to).map(|n| format!(r#""k{n:02}":"v""#)).collect::<Vec<_>>();
        format!("{{{}}}", pairs.join(","))
    }

    #[test]
    fn a_group_has_fifty_tags_at_most() {
        let cx = cx();
        group(&cx, "/app");
        let put = |operation: &str, named: &str, tags: String| {
            let (status, body) = send(&cx, operation, &format!(r#"{{{named},"tags":{tags}}}"#));
            (status, body.contains("TooManyTagsException"), body.contains("InvalidParameterException"))
        };
        let (by_arn, by_name) = (format!(r#""resourceArn":"{ARN}""#), r#""logGroupName":"/app""#);
        assert_eq!(put("TagResource", &by_arn, tags(0, 50)), (200, false, false));
        assert_eq!(put("TagResource", &by_arn, tags(10, 20)), (200, false, false), "known keys add nothing");
        assert_eq!(put("TagResource", &by_arn, tags(50, 51)), (400, true, false));
        assert_eq!(put("TagLogGroup", by_name, tags(50, 51)), (400, false, true));
        let (_, body) = send(&cx, "ListTagsForResource", &format!("{{{by_arn}}}"));
        assert_eq!(body, format!(r#"{{"tags":{}}}"#, tags(0, 50)), "what was refused has changed nothing");
    }

    #[test]
    fn only_the_arn_of_a_log_group_is_taken() {
        let cx = cx();
        group(&cx, "/app");
        let code = |arn: &str| {
            let (status, body) = send(&cx, "ListTagsForResource", &format!(r#"{{"resourceArn":"{arn}"}}"#));
            let codes = ["ValidationException", "ResourceNotFoundException"];
            (status, codes.into_iter().find(|code| body.contains(code)))
        };
        assert_eq!(code(ARN), (200, None));
        assert_eq!(code(&format!("{ARN}2")), (400, Some("ResourceNotFoundException")));
        assert_eq!(code(&ARN.replace("us-east-1", "eu-west-1")), (400, Some("ResourceNotFoundException")));
        assert_eq!(code(&ARN.replace("123456789012", "210987654321")), (400, Some("ResourceNotFoundException")));
        for wrong in [
            format!("{ARN}:*"),
            format!("{ARN}:log-stream:x"),
            ARN.replace("/app", ""),
            ARN.replace(":log-group:", ":destination:"),
            ARN.replace(":logs:", ":ecs:"),
            ARN.replace("123456789012", ""),
            "/app".to_owned(),
        ] {
            assert_eq!(code(&wrong), (400, Some("ValidationException")), "{wrong}");
        }
    }
}
