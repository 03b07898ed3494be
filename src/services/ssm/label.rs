//! Labels of versions.

use std::collections::BTreeSet;

use api::ssm as api;
use state::Cx;
use state::ssm::Parameter;

use crate::{Error, Result, lookup, required};

/// How many labels a version has at most.
const LABELS_MAX: usize = 10;

/// Puts labels on a version, the latest unless the request says, and takes them off others. What is no label is told.
pub(crate) async fn label_parameter_version(
    cx: &Cx,
    input: api::LabelParameterVersionRequest,
) -> Result<api::LabelParameterVersionResult> {
    let known = lookup::find(cx, &required(input.name, "name")?)?;
    let (labels, refused) =
        required(input.labels, "labels")?.into_iter().partition::<Vec<_>, _>(|label| is_label(label));
    let labels = labels.into_iter().collect::<BTreeSet<_>>();
    let number = input.parameter_version.unwrap_or(known.latest.number);
    change(cx, &known, number, |row| {
        for version in row.versions_mut() {
            version.labels.retain(|label| !labels.contains(label));
            if version.number == number {
                version.labels.extend(labels.iter().cloned());
            }
            if version.labels.len() > LABELS_MAX {
                return Err(Error::ParameterVersionLabelLimitExceeded(
                    "A parameter version can have maximum 10 labels.Move one or more labels to another version and try \
                     again."
                        .to_owned(),
                ));
            }
        }
        Ok(())
    })?;
    Ok(api::LabelParameterVersionResult { invalid_labels: Some(refused), parameter_version: Some(number) })
}

/// Takes labels off a version. What it does not have is told.
pub(crate) async fn unlabel_parameter_version(
    cx: &Cx,
    input: api::UnlabelParameterVersionRequest,
) -> Result<api::UnlabelParameterVersionResult> {
    let known = lookup::find(cx, &required(input.name, "name")?)?;
    let labels = required(input.labels, "labels")?;
    let number = required(input.parameter_version, "parameterVersion")?;
    let mut removed = Vec::new();
    change(cx, &known, number, |row| {
        for version in row.versions_mut().filter(|version| version.number == number) {
            removed.extend(version.labels.extract_if(.., |label| labels.contains(label)));
        }
        Ok(())
    })?;
    let missing = labels.into_iter().filter(|label| !removed.contains(label)).collect();
    Ok(api::UnlabelParameterVersionResult { removed_labels: Some(removed), invalid_labels: Some(missing) })
}

/// Changes a parameter that has a version of the number.
fn change(cx: &Cx, known: &Parameter, number: i64, change: impl FnOnce(&mut Parameter) -> Result<()>) -> Result<()> {
    let changed = cx.state.ssm.parameters.try_update(cx.scope(), &known.name, |row| {
        if row.versions().all(|version| version.number != number) {
            return Err(lookup::no_version(row, &number.to_string()));
        }
        change(row)
    });
    changed.ok_or_else(lookup::not_found)?.map(|_| ())
}

/// Tells whether a text can be a label.
fn is_label(text: &str) -> bool {
    let small = text.to_ascii_lowercase();
    let is_reserved = small.starts_with("aws") || small.starts_with("ssm");
    let begins_with_digit = text.starts_with(|sign: char| sign.is_ascii_digit());
    let is_made_of_signs = text.chars().all(|sign| sign.is_ascii_alphanumeric() || "_.-".contains(sign));
    is_made_of_signs && !is_reserved && !begins_with_digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_rules() {
        for (label, expected) in [
            ("prod", true),
            ("Prod_1.0-x", true),
            ("1prod", false),
            ("awsome", false),
            ("SSM", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_label(label), expected, "{label}");
        }
    }
}
