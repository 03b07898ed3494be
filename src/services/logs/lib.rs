//! Amazon CloudWatch Logs: its operations.
//!
//! Groups and streams are records; events are in memory, sorted, behind one lock a stream, and
//! the journal keeps them in the batches in which they came. The `awslogs` driver writes
//! them past this crate: see `controllers`. Where AWS's wording of an error was not seen, the file says so.

mod event_page;
mod filter_log_events;
mod filter_pattern;
mod get_log_events;
mod log_group;
mod log_stream;
mod position;
mod put_log_events;
mod resource_policy;
mod retention_policy;
mod tags;
#[cfg(test)]
mod testing;

use state::Cx;

/// What a handler fails with.
type Error = api::logs::Error;
type Result<T> = std::result::Result<T, Error>;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::logs,
    violation = wire::check::invalid_parameter,
    routes: [
        CreateLogGroup => log_group::create_log_group,
        CreateLogStream => log_stream::create_log_stream,
        DeleteLogGroup => log_group::delete_log_group,
        DeleteResourcePolicy => resource_policy::delete_resource_policy,
        DeleteRetentionPolicy => retention_policy::delete_retention_policy,
        DescribeLogGroups => log_group::describe_log_groups,
        DescribeLogStreams => log_stream::describe_log_streams,
        DescribeResourcePolicies => resource_policy::describe_resource_policies,
        FilterLogEvents => filter_log_events::filter_log_events,
        GetLogEvents => get_log_events::get_log_events,
        ListTagsForResource => tags::list_tags_for_resource,
        ListTagsLogGroup => tags::list_tags_log_group,
        PutLogEvents => put_log_events::put_log_events,
        PutResourcePolicy => resource_policy::put_resource_policy,
        PutRetentionPolicy => retention_policy::put_retention_policy,
        TagLogGroup => tags::tag_log_group,
        TagResource => tags::tag_resource,
        UntagLogGroup => tags::untag_log_group,
        UntagResource => tags::untag_resource,
    ],
};

/// Makes the error of a parameter that cannot be.
fn invalid(message: impl Into<String>) -> Error {
    Error::InvalidParameter(message.into())
}

/// Makes the error of a page token that no listing gave out.
fn invalid_token() -> Error {
    invalid("The specified nextToken is invalid.")
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// Reads a size that the model bounds; what is beyond the bounds was refused before.
fn page_size(limit: Option<i32>, default: usize) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(default, |limit| limit.clamp(1, default))
}
