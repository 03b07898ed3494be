//! A parameter's versions.

use api::ssm as api;
use base::Page;
use state::Cx;

use crate::{Result, lookup, page_after, page_size, required, view};

/// How many versions a page has, by default and at most.
const PAGE_SIZE: usize = 50;
const LISTING: &str = "GetParameterHistory";

/// Gives the versions of a parameter that are kept, oldest first.
pub(crate) async fn get_parameter_history(
    cx: &Cx,
    input: api::GetParameterHistoryRequest,
) -> Result<api::GetParameterHistoryResult> {
    let parameter = lookup::find(cx, &required(input.name, "name")?)?;
    let after =
        page_after(LISTING, input.next_token)?.and_then(|number| number.parse::<i64>().ok()).unwrap_or_default();
    let rest = parameter.versions().filter(|version| version.number > after);
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), rest, |version| version.number.to_string());
    let decrypts = input.with_decryption.unwrap_or(false);
    let versions = page.items.into_iter().map(|version| view::history(&parameter, version, decrypts)).collect();
    Ok(api::GetParameterHistoryResult { parameters: Some(versions), next_token: page.next })
}
