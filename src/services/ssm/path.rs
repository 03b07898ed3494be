//! Reading parameters by their place in the hierarchy.

use api::ssm as api;
use base::Page;
use state::Cx;
use state::ssm::{Parameter, Version};

use crate::{Result, filter, name, page_after, page_size, required, view};

/// How many parameters a page has, by default and at most.
const PAGE_SIZE: usize = 10;
const LISTING: &str = "GetParametersByPath";

/// Gives the parameters below a path: on the next level, or on all levels.
pub(crate) async fn get_parameters_by_path(
    cx: &Cx,
    input: api::GetParametersByPathRequest,
) -> Result<api::GetParametersByPathResult> {
    let path = required(input.path, "path")?.trim().to_owned();
    name::check_path(&path)?;
    let filters = input.parameter_filters.unwrap_or_default();
    filter::check(&filters, filter::BY_PATH)?;
    let is_recursive = input.recursive.unwrap_or(false);
    let decrypts = input.with_decryption.unwrap_or(false);
    let after = page_after(LISTING, input.next_token)?;
    let parameters = cx.state.ssm.parameters.walk(cx.scope(), after).map(|(_, parameter)| parameter);
    let found = parameters.filter(|parameter| {
        !parameter.is_gone(cx.now())
            && is_below(&parameter.name, &path, is_recursive)
            && chosen(parameter, &filters).is_some()
    });
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), found, |parameter| parameter.name.clone());
    let shown = page.items.iter().filter_map(|parameter| {
        let version = chosen(parameter, &filters)?;
        let label = filter::label(&filters).filter(|_| version.number != parameter.latest.number);
        Some(view::parameter(parameter, version, label, decrypts))
    });
    Ok(api::GetParametersByPathResult { parameters: Some(shown.collect()), next_token: page.next })
}

/// Tells whether a parameter lies below a path. `/` is above everything, also above names without a slash.
pub(crate) fn is_below(name: &str, path: &str, is_recursive: bool) -> bool {
    let name = name.strip_prefix('/').unwrap_or(name);
    let path = path.trim_matches('/');
    let rest =
        if path.is_empty() { Some(name) } else { name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) };
    rest.is_some_and(|rest| is_recursive || !rest.contains('/'))
}

/// Returns the version that is shown: the latest, or the one with the label that is filtered by.
fn chosen<'a>(parameter: &'a Parameter, filters: &[api::ParameterStringFilter]) -> Option<&'a Version> {
    let mut versions = parameter.versions().rev();
    let labels = filter::labels(filters);
    let version = match labels {
        None => Some(&parameter.latest),
        Some(labels) => versions.find(|version| version.labels.iter().any(|label| labels.contains(label))),
    };
    version.filter(|version| filter::matches(filters, parameter, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_above_whole_levels() {
        for (name, path, next, all) in [
            ("/a/b", "/a", true, true),
            ("/a/b", "/a/", true, true),
            ("/a/b/c", "/a", false, true),
            ("/ab/c", "/a", false, false),
            ("/a", "/a", false, false),
            ("/a", "/", true, true),
            ("plain", "/", true, true),
            ("/a/b", "/", false, true),
        ] {
            assert_eq!((is_below(name, path, false), is_below(name, path, true)), (next, all), "{name} {path}");
        }
    }
}
