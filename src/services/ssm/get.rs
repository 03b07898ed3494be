//! Reading parameters by name.

use api::ssm as api;
use state::Cx;

use crate::{Result, invalid, lookup, required, view};

/// Gives one parameter.
pub(crate) async fn get_parameter(cx: &Cx, input: api::GetParameterRequest) -> Result<api::GetParameterResult> {
    let selected = lookup::select(cx, &required(input.name, "name")?)?;
    let selector = selected.selector();
    let missing = || lookup::no_version(selected.parameter(), selector.unwrap_or_default());
    let version = selected.version().ok_or_else(missing)?;
    let decrypts = input.with_decryption.unwrap_or(false);
    let parameter = view::parameter(selected.parameter(), version, selector, decrypts);
    Ok(api::GetParameterResult { parameter: Some(parameter) })
}

/// Gives several parameters, sorted by name, and says which there are not.
pub(crate) async fn get_parameters(cx: &Cx, input: api::GetParametersRequest) -> Result<api::GetParametersResult> {
    let names = required(input.names, "names")?;
    let decrypts = input.with_decryption.unwrap_or(false);
    // Text unverified.
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return Err(invalid("Duplicate parameters are not allowed in the request."));
    }
    let (mut parameters, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let selected = lookup::select(cx, &name);
        let shown = match &selected {
            Ok(selected) => selected
                .version()
                .map(|version| view::parameter(selected.parameter(), version, selected.selector(), decrypts)),
            Err(crate::Error::ParameterNotFound(_)) => None,
            Err(_) => return selected.map(|_| api::GetParametersResult::default()),
        };
        match shown {
            Some(parameter) => parameters.push(parameter),
            None => missing.push(name),
        }
    }
    parameters.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(api::GetParametersResult { parameters: Some(parameters), invalid_parameters: Some(missing) })
}
