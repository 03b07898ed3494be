//! Access points.

use api::efs as api;
use base::{Page, PageToken};
use state::Cx;
use state::efs::{AccessPoint, Creation, PosixUser, RootDirectory};

use crate::{error, file_system, identity, tags};

const LISTING: &str = "DescribeAccessPoints";

/// Makes an access point. A repeated request gets the one that it made.
pub(crate) async fn create_access_point(
    cx: &Cx,
    input: api::CreateAccessPointRequest,
) -> Result<api::AccessPointDescription, api::Error> {
    let system = file_system::find(cx, input.file_system_id)?;
    let id = cx.ids.ec2("fsap");
    let point = AccessPoint {
        arn: identity::arn(cx, &format!("access-point/{id}")),
        id: id.clone(),
        file_system: system.id.clone(),
        client_token: input.client_token.unwrap_or_default(),
        posix_user: input.posix_user.map(posix_user),
        root_directory: root_directory(input.root_directory)?,
        tags: tags::parse(input.tags)?,
    };
    let mut known = cx.state.efs.access_points.walk(cx.scope(), None);
    let known = known.find(|(_, other)| other.client_token == point.client_token);
    let point = match known {
        Some((_, other)) if is_same(&other, &point) => other,
        Some((other, _)) => return Err(error::access_point_already_exists(&other, &point.client_token)),
        None => cx.state.efs.access_points.insert(cx.scope(), &id, point),
    };
    Ok(api::AccessPointDescription { life_cycle_state: Some(api::LifeCycleState::Creating), ..view(cx, &point) })
}

/// Shows access points: one, those of a file system, or a page of all.
pub(crate) async fn describe_access_points(
    cx: &Cx,
    input: api::DescribeAccessPointsRequest,
) -> Result<api::DescribeAccessPointsResponse, api::Error> {
    if input.access_point_id.is_some() {
        let id = identity::id_of(input.access_point_id);
        let point = cx.state.efs.access_points.get(cx.scope(), &id);
        let point = point.ok_or_else(|| error::access_point_not_found(&id))?;
        let points = Some(vec![view(cx, &point)]);
        return Ok(api::DescribeAccessPointsResponse { access_points: points, next_token: None });
    }
    let system = match input.file_system_id {
        None => None,
        reference => Some(file_system::find(cx, reference)?),
    };
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token).map_err(|_| error::invalid_token()));
    let all = cx.state.efs.access_points.walk(cx.scope(), after.transpose()?);
    let all = all.filter(|(_, point)| system.as_ref().is_none_or(|system| point.file_system == system.id));
    let page = Page::cut(LISTING, identity::page_size(input.max_results), all, |(id, _)| id.clone());
    let points = page.items.iter().map(|(_, point)| view(cx, point)).collect();
    Ok(api::DescribeAccessPointsResponse { access_points: Some(points), next_token: page.next })
}

/// Removes an access point.
pub(crate) async fn delete_access_point(cx: &Cx, input: api::DeleteAccessPointRequest) -> Result<(), api::Error> {
    let id = identity::id_of(input.access_point_id);
    let removed = cx.state.efs.access_points.remove(cx.scope(), &id);
    removed.map(drop).ok_or_else(|| error::access_point_not_found(&id))
}

fn posix_user(user: api::PosixUser) -> PosixUser {
    let gids = user.secondary_gids.unwrap_or_default();
    PosixUser {
        uid: number(user.uid),
        gid: number(user.gid),
        secondary_gids: gids.into_iter().map(|gid| number(Some(gid))).collect(),
    }
}

fn root_directory(directory: Option<api::RootDirectory>) -> Result<RootDirectory, api::Error> {
    let directory = directory.unwrap_or_default();
    let path = directory.path.unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(error::validation("The path of the root directory is not valid."));
    }
    let creation = directory.creation_info.map(|creation| Creation {
        owner_uid: number(creation.owner_uid),
        owner_gid: number(creation.owner_gid),
        permissions: creation.permissions.unwrap_or_default(),
    });
    Ok(RootDirectory { path, creation })
}

/// The model keeps ids within 32 bits.
fn number(number: Option<i64>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn is_same(a: &AccessPoint, b: &AccessPoint) -> bool {
    (&a.file_system, &a.posix_user, &a.root_directory, &a.tags)
        == (&b.file_system, &b.posix_user, &b.root_directory, &b.tags)
}

fn view(cx: &Cx, point: &AccessPoint) -> api::AccessPointDescription {
    let user = point.posix_user.as_ref().map(|user| api::PosixUser {
        uid: Some(user.uid.into()),
        gid: Some(user.gid.into()),
        secondary_gids: (!user.secondary_gids.is_empty())
            .then(|| user.secondary_gids.iter().map(|gid| i64::from(*gid)).collect()),
    });
    let creation = point.root_directory.creation.as_ref().map(|creation| api::CreationInfo {
        owner_uid: Some(creation.owner_uid.into()),
        owner_gid: Some(creation.owner_gid.into()),
        permissions: Some(creation.permissions.clone()),
    });
    api::AccessPointDescription {
        client_token: Some(point.client_token.clone()),
        name: tags::name(&point.tags),
        tags: Some(tags::view(&point.tags)),
        access_point_id: Some(point.id.clone()),
        access_point_arn: Some(point.arn.to_string()),
        file_system_id: Some(point.file_system.clone()),
        posix_user: user,
        root_directory: Some(api::RootDirectory {
            path: Some(point.root_directory.path.clone()),
            creation_info: creation,
        }),
        owner_id: Some(cx.scope().account.to_string()),
        life_cycle_state: Some(api::LifeCycleState::Available),
    }
}
