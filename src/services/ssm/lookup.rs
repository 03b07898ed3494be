//! Finding the parameter that a request names.

use std::sync::Arc;

use state::Cx;
use state::ssm::{Parameter, Version, split_selector};

use crate::{Error, Result, name};

/// A version of a parameter, and how it was asked for.
pub(crate) struct Selected {
    parameter: Arc<Parameter>,
    selector: Option<String>,
}

impl Selected {
    /// Returns the parameter.
    pub(crate) fn parameter(&self) -> &Parameter {
        &self.parameter
    }

    /// Returns the selector, if one was given.
    pub(crate) fn selector(&self) -> Option<&str> {
        self.selector.as_deref()
    }

    /// Returns the version that was asked for; none if it has none of the kind.
    pub(crate) fn version(&self) -> Option<&Version> {
        self.parameter.select(self.selector())
    }
}

/// Finds a parameter by name or ARN.
pub(crate) fn find(cx: &Cx, id: &str) -> Result<Arc<Parameter>> {
    let id = id.trim();
    name::check_known(id)?;
    cx.state.ssm.find(cx.scope(), id, cx.now()).ok_or_else(not_found)
}

/// Finds a parameter by name or ARN, either with a selector. The version need not exist.
pub(crate) fn select(cx: &Cx, id: &str) -> Result<Selected> {
    let (id, selector) = split_selector(id.trim());
    Ok(Selected { parameter: find(cx, id)?, selector: selector.map(str::to_owned) })
}

/// AWS says nothing besides the code.
pub(crate) fn not_found() -> Error {
    Error::ParameterNotFound(String::new())
}

/// Words a version that a parameter does not have.
pub(crate) fn no_version(parameter: &Parameter, selector: &str) -> Error {
    let name = &parameter.name;
    Error::ParameterVersionNotFound(match selector.parse::<i64>() {
        Ok(number) => {
            format!("Systems Manager could not find version {number} of {name}. Verify the version and try again.")
        }
        Err(_) => {
            format!(
                "Systems Manager could not find label {selector} for parameter {name}. Verify the label and try again."
            )
        }
    })
}
