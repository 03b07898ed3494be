//! Account settings: what the account, or one user or role of it, has chosen for a region.

use api::ecs as api;
use base::{Arn, Page};
use state::Cx;
use state::ecs::{AccountSetting, AccountSettingKey};

use crate::{Result, invalid, page, required};

const PAGE: page::Size = page::Size { default: 10, max: 10 };
const LISTING: &str = "ListAccountSettings";
const SWITCH: &[&str] = &["enabled", "disabled"];

/// A setting that there is.
struct Setting {
    name: api::SettingName,
    /// What it can be.
    values: &'static [&'static str],
    /// What it is for who has not chosen.
    default: &'static str,
    rule: Rule,
}

/// Who may change a setting, and to what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Anybody, to any value.
    Free,
    /// Anybody, but it cannot be disabled any more.
    EnabledForGood,
    /// Only for the whole account.
    RootOnly,
    /// Nobody: AWS manages it.
    AwsManaged,
}

/// Every setting of the model. Defaults are those of an account of today.
const SETTINGS: &[Setting] = &[
    Setting { name: api::SettingName::AwsvpcTrunking, values: SWITCH, default: "disabled", rule: Rule::Free },
    Setting {
        name: api::SettingName::ContainerInsights,
        values: &["enabled", "enhanced", "disabled"],
        default: "disabled",
        rule: Rule::Free,
    },
    Setting {
        name: api::SettingName::ContainerInstanceLongArnFormat,
        values: SWITCH,
        default: "enabled",
        rule: Rule::EnabledForGood,
    },
    Setting {
        name: api::SettingName::DefaultLogDriverMode,
        values: &["blocking", "non-blocking"],
        default: "non-blocking",
        rule: Rule::Free,
    },
    Setting { name: api::SettingName::FargateEventWindows, values: SWITCH, default: "disabled", rule: Rule::Free },
    Setting { name: api::SettingName::FargateFipsMode, values: SWITCH, default: "disabled", rule: Rule::Free },
    Setting {
        name: api::SettingName::FargateTaskRetirementWaitPeriod,
        values: &["0", "7", "14"],
        default: "7",
        rule: Rule::RootOnly,
    },
    Setting {
        name: api::SettingName::GuardDutyActivate,
        values: &["on", "off"],
        default: "off",
        rule: Rule::AwsManaged,
    },
    Setting {
        name: api::SettingName::ServiceLongArnFormat,
        values: SWITCH,
        default: "enabled",
        rule: Rule::EnabledForGood,
    },
    Setting {
        name: api::SettingName::TagResourceAuthorization,
        values: &["on", "off"],
        default: "on",
        rule: Rule::Free,
    },
    Setting {
        name: api::SettingName::TaskLongArnFormat,
        values: SWITCH,
        default: "enabled",
        rule: Rule::EnabledForGood,
    },
];

/// Chooses for the caller, or for the user or role that the request names.
pub(crate) async fn put_account_setting(
    cx: &Cx,
    input: api::PutAccountSettingRequest,
) -> Result<api::PutAccountSettingResponse> {
    let principal = principal(cx, input.principal_arn.as_deref())?;
    let setting = put(cx, principal, &required(input.name, "name")?, required(input.value, "value")?)?;
    Ok(api::PutAccountSettingResponse { setting: Some(setting) })
}

/// Chooses for everybody in the account who has not chosen.
pub(crate) async fn put_account_setting_default(
    cx: &Cx,
    input: api::PutAccountSettingDefaultRequest,
) -> Result<api::PutAccountSettingDefaultResponse> {
    let setting = put(cx, root(cx), &required(input.name, "name")?, required(input.value, "value")?)?;
    Ok(api::PutAccountSettingDefaultResponse { setting: Some(setting) })
}

/// Takes a choice back, and answers what holds without it.
pub(crate) async fn delete_account_setting(
    cx: &Cx,
    input: api::DeleteAccountSettingRequest,
) -> Result<api::DeleteAccountSettingResponse> {
    let principal = principal(cx, input.principal_arn.as_deref())?;
    let setting = find(&required(input.name, "name")?)?;
    let key = AccountSettingKey { principal, name: setting.name.as_str().to_owned() };
    cx.state.ecs.account_settings.remove(cx.scope(), &key);
    let effective = effective(cx, &key.principal, setting);
    let setting = api::Setting { principal_arn: Some(key.principal.to_string()), ..effective };
    Ok(api::DeleteAccountSettingResponse { setting: Some(setting) })
}

/// Lists what the caller, or the user or role that the request names, has chosen; or what holds for it.
pub(crate) async fn list_account_settings(
    cx: &Cx,
    input: api::ListAccountSettingsRequest,
) -> Result<api::ListAccountSettingsResponse> {
    let request = page::request_of(PAGE, LISTING, input.max_results, input.next_token.as_deref())?;
    let principal = principal(cx, input.principal_arn.as_deref())?;
    if input.value.is_some() && input.name.is_none() {
        // The rule is ListAccountSettings' documentation; text unverified.
        return Err(invalid("A setting name must be specified to filter by value."));
    }
    let is_effective = input.effective_settings == Some(true);
    let named = SETTINGS.iter().filter(|setting| input.name.as_ref().is_none_or(|name| *name == setting.name));
    let shown = named.filter_map(|setting| match is_effective {
        true => Some(effective(cx, &principal, setting)),
        false => chosen(cx, &principal, setting).map(|value| view(setting, value, &principal)),
    });
    let valued = shown.filter(|shown| input.value.is_none() || shown.value == input.value);
    let name = |setting: &api::Setting| setting.name.as_ref().map_or("", |name| name.as_str()).to_owned();
    let rest = valued.filter(|setting| request.after.as_ref().is_none_or(|after| name(setting) > *after));
    let page = Page::cut(LISTING, request.size, rest, name);
    Ok(api::ListAccountSettingsResponse { settings: Some(page.items), next_token: page.next })
}

/// Returns what `containerInsights` is in a cluster that the caller makes without saying.
pub(crate) fn container_insights(cx: &Cx) -> String {
    let setting = SETTINGS.iter().find(|setting| setting.name == api::SettingName::ContainerInsights);
    let effective = setting.map(|setting| effective(cx, &root(cx), setting));
    effective.and_then(|effective| effective.value).unwrap_or_default()
}

fn put(cx: &Cx, principal: Arn, name: &api::SettingName, value: String) -> Result<api::Setting> {
    let setting = find(name)?;
    // Seen: terraform-provider-aws#32114.
    if !setting.values.contains(&value.as_str()) {
        return Err(invalid("Invalid setting 'value'"));
    }
    match setting.rule {
        // Seen: the Terraform provider's page on aws_ecs_account_setting_default.
        Rule::EnabledForGood if value == "disabled" => {
            return Err(invalid("You can no longer disable Long Arn settings"));
        }
        // The rules are the model's documentation; both texts unverified.
        Rule::RootOnly if principal != root(cx) => {
            return Err(invalid(format!("The root user must be used to set {}.", setting.name.as_str())));
        }
        Rule::AwsManaged => {
            return Err(invalid(format!(
                "The {} setting is managed by AWS and cannot be changed.",
                setting.name.as_str()
            )));
        }
        Rule::EnabledForGood | Rule::RootOnly | Rule::Free => {}
    }
    let key = AccountSettingKey { principal, name: setting.name.as_str().to_owned() };
    cx.state.ecs.account_settings.insert(cx.scope(), &key, AccountSetting { value: value.clone() });
    Ok(view(setting, value, &key.principal))
}

fn find(name: &api::SettingName) -> Result<&'static Setting> {
    // The model's own names; others were refused when the request was checked against it.
    SETTINGS.iter().find(|setting| setting.name == *name).ok_or_else(|| {
        let names = SETTINGS.iter().map(|setting| setting.name.as_str()).collect::<Vec<_>>();
        invalid(format!("{} should be one of [{}]", name.as_str(), names.join(",")))
    })
}

/// Returns what holds for a principal: its own choice, else the account's, else the default.
fn effective(cx: &Cx, principal: &Arn, setting: &Setting) -> api::Setting {
    let root = root(cx);
    if let Some(own) = chosen(cx, principal, setting) {
        return view(setting, own, principal);
    }
    let value = chosen(cx, &root, setting).unwrap_or_else(|| setting.default.to_owned());
    view(setting, value, &root)
}

fn chosen(cx: &Cx, principal: &Arn, setting: &Setting) -> Option<String> {
    let key = AccountSettingKey { principal: principal.clone(), name: setting.name.as_str().to_owned() };
    cx.state.ecs.account_settings.get(cx.scope(), &key).map(|setting| setting.value.clone())
}

fn view(setting: &Setting, value: String, principal: &Arn) -> api::Setting {
    let is_managed = setting.rule == Rule::AwsManaged;
    api::Setting {
        name: Some(setting.name.clone()),
        value: Some(value),
        principal_arn: Some(principal.to_string()),
        r#type: Some(if is_managed { api::SettingType::AwsManaged } else { api::SettingType::User }),
    }
}

/// Everybody here is the root user of the account: see STS's GetCallerIdentity.
fn root(cx: &Cx) -> Arn {
    Arn::global("iam", cx.scope(), "root")
}

/// Reads the principal of a request: none means the caller. (Text unverified.)
fn principal(cx: &Cx, arn: Option<&str>) -> Result<Arn> {
    let Some(text) = arn else { return Ok(root(cx)) };
    let arn = Arn::parse(text).filter(|arn| arn.service() == "iam" && arn.account() == Some(cx.scope().account));
    let is_principal =
        |resource: &str| resource == "root" || resource.starts_with("user/") || resource.starts_with("role/");
    arn.filter(|arn| is_principal(arn.resource())).ok_or_else(|| invalid("Invalid principal ARN"))
}
