//! Log groups.

use std::sync::Arc;

use api::logs as api;
use base::{Arn, Page, PageToken};
use state::Cx;
use state::logs::LogGroup;

use crate::{Error, Result, invalid, invalid_token, page_size, required, tags};

/// The page size of DescribeLogGroups, both by default and at most.
const PAGE_SIZE: usize = 50;
const LISTING: &str = "DescribeLogGroups";

/// Makes a log group.
pub(crate) async fn create_log_group(cx: &Cx, input: api::CreateLogGroupRequest) -> Result<()> {
    let name = required(input.log_group_name, "logGroupName")?;
    // What AWS's own services begin with is `/aws/`; `aws/` is kept from everyone. Text unverified.
    if name.starts_with("aws/") {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    let class = input.log_group_class.unwrap_or(api::LogGroupClass::Standard);
    let tags = tags::read(input.tags.unwrap_or_default());
    tags::check(&tags)?;
    let make = || LogGroup {
        arn: arn(cx, &name),
        name: name.clone(),
        created_at: cx.now(),
        retention_days: None,
        kms_key_id: input.kms_key_id,
        class: class.to_string(),
        is_deletion_protected: input.deletion_protection_enabled.unwrap_or(false),
        tags,
        policy: None,
    };
    let (_, is_new) = cx.state.logs.groups.get_or_insert_with(cx.scope(), &name, make);
    if !is_new {
        return Err(Error::ResourceAlreadyExists("The specified log group already exists".to_owned()));
    }
    Ok(())
}

/// Deletes a log group with its streams and events.
pub(crate) async fn delete_log_group(cx: &Cx, input: api::DeleteLogGroupRequest) -> Result<()> {
    let name = required(input.log_group_name, "logGroupName")?;
    let group = cx.state.logs.groups.get(cx.scope(), &name).ok_or_else(not_found)?;
    if group.is_deletion_protected {
        // Text unverified.
        return Err(Error::Validation("The specified log group has deletion protection enabled.".to_owned()));
    }
    cx.state.logs.remove_group(cx.scope(), &name).map(|_| ()).ok_or_else(not_found)
}

/// Lists log groups, sorted by name.
pub(crate) async fn describe_log_groups(
    cx: &Cx,
    input: api::DescribeLogGroupsRequest,
) -> Result<api::DescribeLogGroupsResponse> {
    let size = page_size(input.limit, PAGE_SIZE);
    let prefix = input.log_group_name_prefix.unwrap_or_default();
    let part = input.log_group_name_pattern.unwrap_or_default();
    if !prefix.is_empty() && !part.is_empty() {
        return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
    }
    let chosen = input
        .log_group_identifiers
        .map(|identifiers| identifiers.iter().filter_map(|identifier| name_of(cx, identifier)).collect::<Vec<_>>());
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| invalid_token())?;
    let from = after.clone().unwrap_or_default().max(prefix.clone());
    let groups = cx.state.logs.groups.walk_from(cx.scope(), from).map(|(_, group)| group);
    let found = groups.take_while(|group| group.name.starts_with(&prefix)).filter(|group| {
        after.as_ref() != Some(&group.name)
            && group.name.contains(&part)
            && input.log_group_class.as_ref().is_none_or(|class| class.as_str() == group.class)
            && chosen.as_ref().is_none_or(|chosen| chosen.contains(&group.name))
    });
    let page = Page::cut(LISTING, size, found, |group| group.name.clone());
    let log_groups = page.items.iter().map(|group| view(cx, group)).collect();
    Ok(api::DescribeLogGroupsResponse { log_groups: Some(log_groups), next_token: page.next })
}

/// Finds the group that a request names, either by name or by name or ARN.
pub(crate) fn find(cx: &Cx, name: Option<String>, identifier: Option<String>) -> Result<Arc<LogGroup>> {
    let name = match (name, identifier) {
        (Some(_), Some(_)) => {
            return Err(invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters."));
        }
        (Some(name), None) => Some(name),
        (None, Some(identifier)) => name_of(cx, &identifier),
        // Text unverified: SDKs let such a request pass.
        (None, None) => return Err(invalid("Either logGroupName or logGroupIdentifier must be specified.")),
    };
    name.and_then(|name| cx.state.logs.groups.get(cx.scope(), &name)).ok_or_else(not_found)
}

pub(crate) fn not_found() -> Error {
    Error::ResourceNotFound("The specified log group does not exist.".to_owned())
}

/// Reads a name, or the ARN of a group of this account and region. None means that no group can be meant.
fn name_of(cx: &Cx, identifier: &str) -> Option<String> {
    if !identifier.starts_with("arn:") {
        return Some(identifier.to_owned());
    }
    let arn = Arn::parse(identifier)?;
    let is_here = arn.service() == "logs"
        && arn.account() == Some(cx.scope().account)
        && arn.region().as_ref() == Some(&cx.scope().region);
    let name = arn.resource().strip_prefix("log-group:").filter(|_| is_here)?;
    Some(name.strip_suffix(":*").unwrap_or(name).to_owned())
}

fn arn(cx: &Cx, name: &str) -> Arn {
    Arn::new("logs", cx.scope(), &format!("log-group:{name}"))
}

fn view(cx: &Cx, group: &LogGroup) -> api::LogGroup {
    let bytes = cx.state.logs.stored_bytes(cx.scope(), &group.name);
    api::LogGroup {
        log_group_name: Some(group.name.clone()),
        creation_time: Some(group.created_at.as_millis()),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        arn: Some(format!("{}:*", group.arn)),
        stored_bytes: Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
        kms_key_id: group.kms_key_id.clone(),
        log_group_class: Some(api::LogGroupClass::from(group.class.as_str())),
        log_group_arn: Some(group.arn.to_string()),
        deletion_protection_enabled: Some(group.is_deletion_protected),
        ..api::LogGroup::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW_MS, answer, cx, fails, group, send};

    fn describe(cx: &Cx, input: api::DescribeLogGroupsRequest) -> (Vec<String>, Option<String>) {
        let response = answer(describe_log_groups(cx, input)).unwrap();
        let names = response.log_groups.unwrap().into_iter().map(|group| group.log_group_name.unwrap());
        (names.collect(), response.next_token)
    }

    #[test]
    fn a_group_is_described_as_aws_does() {
        let cx = cx();
        assert_eq!(
            send(&cx, "CreateLogGroup", r#"{"logGroupName":"/ecs/web","kmsKeyId":"k","tags":{"a":"b"}}"#),
            (200, "{}".to_owned())
        );
        let (status, body) = send(&cx, "DescribeLogGroups", "{}");
        assert_eq!(status, 200);
        assert_eq!(
            body,
            format!(
                r#"{{"logGroups":[{{"logGroupName":"/ecs/web","creationTime":{NOW_MS},"metricFilterCount":0,"arn":"arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web:*","storedBytes":0,"kmsKeyId":"k","logGroupClass":"STANDARD","logGroupArn":"arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web","deletionProtectionEnabled":false}}]}}"#
            )
        );
        assert_eq!(cx.state.logs.groups.get(cx.scope(), &"/ecs/web".to_owned()).unwrap().tags.len(), 1);
    }

    #[test]
    fn a_name_is_taken_once_and_can_be_freed() {
        let cx = cx();
        group(&cx, "g");
        let create = |name: &str| {
            let log_group_name = Some(name.to_owned());
            answer(create_log_group(&cx, api::CreateLogGroupRequest { log_group_name, ..Default::default() }))
        };
        let delete =
            || answer(delete_log_group(&cx, api::DeleteLogGroupRequest { log_group_name: Some("g".to_owned()) }));
        fails(create("g"), "ResourceAlreadyExistsException", "The specified log group already exists");
        fails(create("aws/x"), "InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.");
        delete().unwrap();
        fails(delete(), "ResourceNotFoundException", "The specified log group does not exist.");
        create("g").unwrap();
    }

    #[test]
    fn a_protected_group_is_not_deleted() {
        let cx = cx();
        send(&cx, "CreateLogGroup", r#"{"logGroupName":"g","deletionProtectionEnabled":true}"#);
        let (status, body) = send(&cx, "DeleteLogGroup", r#"{"logGroupName":"g"}"#);
        assert_eq!(status, 400);
        assert!(body.contains("ValidationException"), "{body}");
        assert!(cx.state.logs.groups.get(cx.scope(), &"g".to_owned()).is_some());
    }

    #[test]
    fn what_the_model_forbids_is_an_invalid_parameter() {
        let cx = cx();
        let at = "failed to satisfy constraint: Member must";
        for (operation, body, expected) in [
            ("CreateLogGroup", "{}", format!("Value null at 'logGroupName' {at} not be null")),
            (
                "CreateLogGroup",
                r#"{"logGroupName":"a b"}"#,
                format!(
                    r"Value 'a b' at 'logGroupName' {at} satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
                ),
            ),
            (
                "DescribeLogGroups",
                r#"{"limit":51}"#,
                format!("Value '51' at 'limit' {at} have value less than or equal to 50"),
            ),
        ] {
            let (status, text) = send(&cx, operation, body);
            assert_eq!(status, 400);
            let expected =
                format!("\"InvalidParameterException\",\"message\":\"1 validation error detected: {expected}\"");
            assert!(text.contains(&expected), "{text}");
        }
    }

    #[test]
    fn groups_are_found_by_prefix_part_class_or_identifier() {
        let cx = cx();
        ["/a/one", "/a/two", "/b/One", "/b/two"].iter().for_each(|name| group(&cx, name));
        send(&cx, "CreateLogGroup", r#"{"logGroupName":"/c","logGroupClass":"INFREQUENT_ACCESS"}"#);
        let text = |text: &str| Some(text.to_owned());
        let by_prefix = api::DescribeLogGroupsRequest { log_group_name_prefix: text("/a/"), ..Default::default() };
        assert_eq!(describe(&cx, by_prefix).0, ["/a/one", "/a/two"]);
        let by_part = api::DescribeLogGroupsRequest { log_group_name_pattern: text("tw"), ..Default::default() };
        assert_eq!(describe(&cx, by_part).0, ["/a/two", "/b/two"]);
        let class = Some(api::LogGroupClass::InfrequentAccess);
        let by_class = api::DescribeLogGroupsRequest { log_group_class: class, ..Default::default() };
        assert_eq!(describe(&cx, by_class).0, ["/c"]);
        let identifiers = vec![
            "/a/one".to_owned(),
            "arn:aws:logs:us-east-1:123456789012:log-group:/b/two".to_owned(),
            "arn:aws:logs:eu-west-1:123456789012:log-group:/a/two".to_owned(),
        ];
        let chosen = api::DescribeLogGroupsRequest { log_group_identifiers: Some(identifiers), ..Default::default() };
        assert_eq!(describe(&cx, chosen).0, ["/a/one", "/b/two"]);
        let both = api::DescribeLogGroupsRequest {
            log_group_name_prefix: text("/a"),
            log_group_name_pattern: text("t"),
            ..Default::default()
        };
        fails(
            answer(describe_log_groups(&cx, both)),
            "InvalidParameterException",
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        );
    }

    #[test]
    fn pages_go_on_after_the_group_seen_last() {
        let cx = cx();
        (0..60).for_each(|n| group(&cx, &format!("/g/{n:02}")));
        let (first, token) = describe(&cx, Default::default());
        assert_eq!((first.len(), first.last().unwrap().as_str()), (50, "/g/49"));
        let next = |limit| api::DescribeLogGroupsRequest {
            next_token: token.clone(),
            log_group_name_prefix: Some("/g".to_owned()),
            limit,
            ..Default::default()
        };
        let (second, token_after) = describe(&cx, next(Some(4)));
        assert_eq!(second, ["/g/50", "/g/51", "/g/52", "/g/53"]);
        assert!(token_after.is_some());
        assert_eq!(describe(&cx, next(None)), ((50..60).map(|n| format!("/g/{n}")).collect(), None));
        let bad = api::DescribeLogGroupsRequest { next_token: Some("x".to_owned()), ..Default::default() };
        fails(
            answer(describe_log_groups(&cx, bad)),
            "InvalidParameterException",
            "The specified nextToken is invalid.",
        );
    }
}
