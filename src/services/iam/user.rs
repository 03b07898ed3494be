//! Users.

use std::sync::Arc;

use api::iam as api;
use state::Cx;
use state::iam::{EntityKind, User};

use crate::entity::{arn, date, key, path, path_prefix, validation_error};
use crate::page::Paging;
use crate::role::{boundary, view_boundary};
use crate::{Error, Result, home, tag};

/// Makes a user.
pub(crate) async fn create_user(cx: &Cx, input: api::CreateUserRequest) -> Result<api::CreateUserResponse> {
    let name = input.user_name.unwrap_or_default();
    let path = path(input.path)?;
    let user = User {
        name: name.clone(),
        id: EntityKind::User.id(cx.scope().account, &cx.ids),
        arn: arn(cx, "user", &path, &name),
        path,
        permissions_boundary: input.permissions_boundary.map(|arn| boundary::find(cx, &arn)).transpose()?,
        created_at: cx.now(),
        tags: tag::read(input.tags)?,
    };
    let (user, is_new) = cx.state.iam.users.get_or_insert_with(&home(cx), &key(&name), || user);
    if !is_new {
        return Err(Error::EntityAlreadyExists(format!("User with name {name} already exists.")));
    }
    Ok(api::CreateUserResponse { user: Some(view(&user, true)) })
}

/// Shows a user: the one named, or the caller.
pub(crate) async fn get_user(cx: &Cx, input: api::GetUserRequest) -> Result<api::GetUserResponse> {
    let user = match input.user_name.or_else(|| name_of_caller(cx)) {
        Some(name) => view(&*find(cx, &name)?, true),
        None => root(cx)?,
    };
    Ok(api::GetUserResponse { user: Some(user) })
}

/// Lists users whose path has a prefix, by name.
pub(crate) async fn list_users(cx: &Cx, input: api::ListUsersRequest) -> Result<api::ListUsersResponse> {
    let prefix = path_prefix(input.path_prefix)?;
    let paging = Paging { marker: input.marker, max_items: input.max_items };
    let page = paging.cut("ListUsers", |after| {
        cx.state.iam.users.walk(&home(cx), after).filter(|(_, user)| user.path.starts_with(&prefix))
    })?;
    Ok(api::ListUsersResponse {
        users: Some(page.items.iter().map(|user| view(user, false)).collect()),
        is_truncated: page.is_truncated,
        marker: page.marker,
    })
}

/// Deletes a user that has no access keys.
pub(crate) async fn delete_user(cx: &Cx, input: api::DeleteUserRequest) -> Result<()> {
    let name = input.user_name.unwrap_or_default();
    cx.state.iam.exclusively(|| {
        find(cx, &name)?;
        if cx.state.iam.access_keys_of(cx.scope(), &name).next().is_some() {
            let message = "Cannot delete entity, must delete access keys first.";
            return Err(Error::DeleteConflict(message.to_owned()));
        }
        cx.state.iam.users.remove(&home(cx), &key(&name));
        Ok(())
    })
}

/// Finds a user.
pub(crate) fn find(cx: &Cx, name: &str) -> Result<Arc<User>> {
    let user = cx.state.iam.users.get(&home(cx), &key(name));
    user.ok_or_else(|| Error::NoSuchEntity(format!("The user with name {name} cannot be found.")))
}

/// Returns the name of the user that asks, if it is one.
pub(crate) fn name_of_caller(cx: &Cx) -> Option<String> {
    cx.principal().arn.resource_of("user")?.rsplit('/').next().map(str::to_owned)
}

/// Shows the root, which is a user of its own kind; a role is none.
fn root(cx: &Cx) -> Result<api::User> {
    let principal = cx.principal();
    if principal.arn.resource() != "root" {
        return Err(validation_error("Must specify userName when calling with non-User credentials"));
    }
    Ok(api::User {
        user_id: Some(principal.user_id),
        arn: Some(principal.arn.to_string()),
        create_date: Some(date(cx.now())),
        ..api::User::default()
    })
}

/// Shows a user; listings leave out tags and boundary.
fn view(user: &User, is_full: bool) -> api::User {
    api::User {
        path: Some(user.path.clone()),
        user_name: Some(user.name.clone()),
        user_id: Some(user.id.clone()),
        arn: Some(user.arn.to_string()),
        create_date: Some(date(user.created_at)),
        password_last_used: None,
        permissions_boundary: user.permissions_boundary.as_ref().filter(|_| is_full).map(view_boundary),
        tags: if is_full { tag::view_if_any(&user.tags) } else { None },
    }
}
