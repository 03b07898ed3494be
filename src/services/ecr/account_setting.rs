//! Settings of the account.

use api::ecr as api;
use state::Cx;

use crate::{Result, invalid, required};

/// The settings that there are, each with its values, the default first.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE", "CLAIR"]),
    ("REGISTRY_POLICY_SCOPE", &["V1", "V2"]),
    ("BLOB_MOUNTING", &["DISABLED", "ENABLED"]),
];

/// Shows a setting.
pub(crate) async fn get_account_setting(
    cx: &Cx,
    input: api::GetAccountSettingRequest,
) -> Result<api::GetAccountSettingResponse> {
    let name = required(input.name, "name")?;
    let default = allowed(&name)?[0];
    let value = cx.state.ecr.registry_settings(cx.scope()).account_settings.get(&name).cloned();
    Ok(api::GetAccountSettingResponse { name: Some(name), value: Some(value.unwrap_or_else(|| default.to_owned())) })
}

/// Changes a setting.
pub(crate) async fn put_account_setting(
    cx: &Cx,
    input: api::PutAccountSettingRequest,
) -> Result<api::PutAccountSettingResponse> {
    let (name, value) = (required(input.name, "name")?, required(input.value, "value")?);
    let allowed = allowed(&name)?;
    if !allowed.contains(&value.as_str()) {
        // Text unverified.
        return Err(invalid("value", &format!("must satisfy enum value set: [{}]", allowed.join(", "))));
    }
    cx.state.ecr.change_registry_settings(cx.scope(), |settings| {
        settings.account_settings.insert(name.clone(), value.clone());
    });
    Ok(api::PutAccountSettingResponse { name: Some(name), value: Some(value) })
}

/// Returns what a setting can be. (Text unverified.)
fn allowed(name: &str) -> Result<&'static [&'static str]> {
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    let names = SETTINGS.map(|(name, _)| name).join(", ");
    found.map(|(_, values)| *values).ok_or_else(|| invalid("name", &format!("must satisfy enum value set: [{names}]")))
}
