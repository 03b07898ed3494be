//! Deleting parameters.

use api::ssm as api;
use state::Cx;

use crate::{Result, lookup, required};

/// Deletes one parameter.
pub(crate) async fn delete_parameter(
    cx: &Cx,
    input: api::DeleteParameterRequest,
) -> Result<api::DeleteParameterResult> {
    let parameter = lookup::find(cx, &required(input.name, "name")?)?;
    let removed = cx.state.ssm.parameters.remove(cx.scope(), &parameter.name);
    removed.map(|_| api::DeleteParameterResult::default()).ok_or_else(lookup::not_found)
}

/// Deletes several parameters, and says which there were not.
pub(crate) async fn delete_parameters(
    cx: &Cx,
    input: api::DeleteParametersRequest,
) -> Result<api::DeleteParametersResult> {
    let (deleted, missing) = required(input.names, "names")?.into_iter().partition::<Vec<_>, _>(|name| {
        let known = lookup::find(cx, name).ok();
        known.and_then(|parameter| cx.state.ssm.parameters.remove(cx.scope(), &parameter.name)).is_some()
    });
    Ok(api::DeleteParametersResult { deleted_parameters: Some(deleted), invalid_parameters: Some(missing) })
}
