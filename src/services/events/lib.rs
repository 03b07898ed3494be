//! Amazon EventBridge: the operations of buses, rules, targets, connections and API destinations. What becomes of an event
//! is for controllers: nothing here sends anything.
//!
//! Where AWS's wording of an error was not seen, the file says so.

mod api_destination;
mod bus;
mod connection;
mod pattern;
mod permission;
mod put_events;
mod rule;
mod tags;
mod target;

use base::{Page, PageToken};
use state::Cx;
use wire::{ApiError, Violation, document};

/// What a handler fails with.
type Error = api::events::Error;
type Result<T> = std::result::Result<T, Error>;

/// How much a page has unless the request says otherwise, and at most.
const PAGE_MAX: usize = 100;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::events,
    violation = violation,
    routes: [
        CreateApiDestination => api_destination::create_api_destination,
        CreateConnection => connection::create_connection,
        CreateEventBus => bus::create_event_bus,
        DeauthorizeConnection => connection::deauthorize_connection,
        DeleteApiDestination => api_destination::delete_api_destination,
        DeleteConnection => connection::delete_connection,
        DeleteEventBus => bus::delete_event_bus,
        DeleteRule => rule::delete_rule,
        DescribeApiDestination => api_destination::describe_api_destination,
        DescribeConnection => connection::describe_connection,
        DescribeEventBus => bus::describe_event_bus,
        DescribeRule => rule::describe_rule,
        DisableRule => rule::disable_rule,
        EnableRule => rule::enable_rule,
        ListApiDestinations => api_destination::list_api_destinations,
        ListConnections => connection::list_connections,
        ListEventBuses => bus::list_event_buses,
        ListRuleNamesByTarget => rule::list_rule_names_by_target,
        ListRules => rule::list_rules,
        ListTagsForResource => tags::list_tags_for_resource,
        ListTargetsByRule => target::list_targets_by_rule,
        PutEvents => put_events::put_events,
        PutPermission => permission::put_permission,
        PutRule => rule::put_rule,
        PutTargets => target::put_targets,
        RemovePermission => permission::remove_permission,
        RemoveTargets => target::remove_targets,
        TagResource => tags::tag_resource,
        TestEventPattern => pattern::test_event_pattern,
        UntagResource => tags::untag_resource,
        UpdateApiDestination => api_destination::update_api_destination,
        UpdateConnection => connection::update_connection,
        UpdateEventBus => bus::update_event_bus,
    ],
};

/// Words what the model forbids. No message quotes a password.
fn violation(found: &[Violation]) -> ApiError {
    wire::check::validation_exception_in_small_letters(found, &["Password", "ClientSecret", "ApiKeyValue", "Value"])
}

/// Makes the error of a request that cannot be; the model does not list it.
fn invalid(message: impl Into<String>) -> Error {
    ApiError::client("ValidationException", message).into()
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// Returns the size of a page.
fn page_size(limit: Option<i32>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(PAGE_MAX, |limit| limit.clamp(1, PAGE_MAX))
}

/// Cuts a page out of what is sorted by a name.
fn page<T>(
    listing: &'static str,
    (token, limit): (Option<String>, Option<i32>),
    sorted: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> String,
) -> Result<Page<T>> {
    let after = token.map(|token| PageToken::decode(listing, &token)).transpose();
    // Text unverified.
    let after = after.map_err(|_| invalid("Parameter NextToken is not valid."))?;
    let rest = sorted.into_iter().filter(|item| after.as_ref().is_none_or(|after| name(item) > *after));
    Ok(Page::cut(listing, page_size(limit), rest, &name))
}
