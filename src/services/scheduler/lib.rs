//! Amazon EventBridge Scheduler: the operations of schedules and their groups. Controllers see to their times.
//!
//! Where AWS's wording of an error was not seen, the file says so.

mod group;
mod schedule;
mod tags;
mod target;

use base::{Page, PageToken};
use state::Cx;
use wire::{ApiError, document};

/// What a handler fails with.
type Error = api::scheduler::Error;
type Result<T> = std::result::Result<T, Error>;

/// How much a page has unless the request says otherwise, and at most.
const PAGE_MAX: usize = 100;

/// The service with its operations.
pub static SERVICE: wire::Service<Cx> = wire::service! {
    api::scheduler,
    violation = wire::check::validation_exception,
    routes: [
        CreateSchedule => schedule::create_schedule,
        CreateScheduleGroup => group::create_schedule_group,
        DeleteSchedule => schedule::delete_schedule,
        DeleteScheduleGroup => group::delete_schedule_group,
        GetSchedule => schedule::get_schedule,
        GetScheduleGroup => group::get_schedule_group,
        ListScheduleGroups => group::list_schedule_groups,
        ListSchedules => schedule::list_schedules,
        ListTagsForResource => tags::list_tags_for_resource,
        TagResource => tags::tag_resource,
        UntagResource => tags::untag_resource,
        UpdateSchedule => schedule::update_schedule,
    ],
};

/// Makes the error of a request that cannot be.
fn invalid(message: impl Into<String>) -> Error {
    Error::Validation(message.into())
}

/// Returns a member that the model requires; the check against the model has refused requests without it.
fn required<T>(member: Option<T>, name: &str) -> Result<T> {
    member.ok_or_else(|| {
        ApiError::client(
            "ValidationException",
            format!(
                "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ),
        )
        .into()
    })
}

/// Cuts a page out of what is sorted by a name.
fn page<T>(
    listing: &'static str,
    (token, size): (Option<String>, Option<i32>),
    sorted: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> String,
) -> Result<Page<T>> {
    let size = size.and_then(|size| usize::try_from(size).ok()).map_or(PAGE_MAX, |size| size.clamp(1, PAGE_MAX));
    let after = token.map(|token| PageToken::decode(listing, &token)).transpose();
    // Text unverified.
    let after = after.map_err(|_| invalid("Invalid NextToken."))?;
    let rest = sorted.into_iter().filter(|item| after.as_ref().is_none_or(|after| name(item) > *after));
    Ok(Page::cut(listing, size, rest, &name))
}
