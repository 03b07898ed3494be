//! Listing parameters without their values.

use api::ssm as api;
use base::Page;
use state::Cx;

use crate::{Result, filter, invalid, page_after, page_size, view};

/// How many parameters a page has, by default and at most.
const PAGE_SIZE: usize = 50;
const LISTING: &str = "DescribeParameters";

/// Lists parameters, sorted by name. Nothing is shared with other accounts.
pub(crate) async fn describe_parameters(
    cx: &Cx,
    input: api::DescribeParametersRequest,
) -> Result<api::DescribeParametersResult> {
    let older = input.filters.unwrap_or_default();
    let filters = match input.parameter_filters {
        Some(_) if !older.is_empty() => {
            return Err(invalid("You can use either Filters or ParameterFilters in a single request."));
        }
        Some(filters) => filters,
        None => older.into_iter().map(converted).collect(),
    };
    filter::check(&filters, filter::DESCRIBE)?;
    let after = page_after(LISTING, input.next_token)?;
    let is_shared = input.shared.unwrap_or(false);
    let parameters = cx.state.ssm.parameters.walk(cx.scope(), after).map(|(_, parameter)| parameter);
    let found = parameters.filter(|parameter| {
        !is_shared && !parameter.is_gone(cx.now()) && filter::matches(&filters, parameter, &parameter.latest)
    });
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), found, |parameter| parameter.name.clone());
    let parameters = page.items.iter().map(|parameter| view::metadata(parameter)).collect();
    Ok(api::DescribeParametersResult { parameters: Some(parameters), next_token: page.next })
}

/// Reads a filter of the older form, which looks at the beginning of names.
fn converted(filter: api::ParametersFilter) -> api::ParameterStringFilter {
    let option = filter.key.as_ref().filter(|key| **key == api::ParametersFilterKey::Name);
    api::ParameterStringFilter {
        option: option.map(|_| "BeginsWith".to_owned()),
        key: filter.key.map(|key| key.to_string()),
        values: filter.values,
    }
}
