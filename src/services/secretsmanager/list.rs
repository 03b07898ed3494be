//! Listing secrets.

use std::sync::Arc;

use api::secretsmanager as api;
use base::{Page, PageToken};
use state::Cx;
use state::secretsmanager::Secret;

use crate::{Error, Result, filter, view};

/// How many secrets a page has, by default and at most.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "ListSecrets";

/// Lists secrets; those marked for deletion only if it is asked for. (The latest first, unless the request says
/// otherwise: unverified.)
pub(crate) async fn list_secrets(cx: &Cx, input: api::ListSecretsRequest) -> Result<api::ListSecretsResponse> {
    let filters = input.filters.unwrap_or_default();
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let after = after.map_err(|_| Error::InvalidNextToken("Invalid token".to_owned()))?;
    let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    let sort_by = input.sort_by.unwrap_or(api::SortByType::CreatedDate);
    let is_ascending = input.sort_order == Some(api::SortOrderType::Asc);
    let shows_deleted = input.include_planned_deletion.unwrap_or(false);

    let mut found = Vec::new();
    for (name, secret) in cx.state.secretsmanager.secrets.walk(cx.scope(), None) {
        if secret.is_gone(cx.now()) {
            cx.state.secretsmanager.sweep(cx.scope(), &name, cx.now());
        } else if (shows_deleted || !secret.is_deleted()) && filter::matches(&filters, &secret) {
            found.push((sort_key(&sort_by, &secret), secret));
        }
    }
    found.sort_by(|(one, _), (other, _)| if is_ascending { one.cmp(other) } else { other.cmp(one) });
    let is_after =
        |key: &String| after.as_ref().is_none_or(|after| if is_ascending { key > after } else { key < after });
    let rest = found.into_iter().filter(|(key, _)| is_after(key));
    let page = Page::cut(LISTING, size.clamp(1, PAGE_SIZE), rest, |(key, _)| key.clone());
    let secrets = page.items.iter().map(|(_, secret)| view::entry(secret)).collect();
    Ok(api::ListSecretsResponse { secret_list: Some(secrets), next_token: page.next })
}

/// Makes the text that secrets are sorted by; names make it unique.
fn sort_key(by: &api::SortByType, secret: &Arc<Secret>) -> String {
    let date = match by {
        api::SortByType::Name => None,
        api::SortByType::LastAccessedDate => secret.accessed_on,
        api::SortByType::LastChangedDate => Some(secret.changed_at),
        api::SortByType::CreatedDate | api::SortByType::Other(_) => Some(secret.created_at),
    };
    format!("{:020} {}", date.map_or(0, base::Timestamp::as_millis), secret.name)
}
