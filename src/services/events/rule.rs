//! Rules.

use std::sync::Arc;

use api::events as api;
use base::Arn;
use schedule::{Dialect, Expression};
use state::Cx;
use state::events::{DEFAULT_BUS, Rule, RuleKey, RuleState};

use crate::{Error, Result, bus, invalid, page, pattern, required, tags};

/// How many rules a bus has at most, as in EventBridge.
const RULES_PER_BUS_MAX: usize = 300;

/// Makes a rule, or replaces what a rule says; its targets stay.
pub(crate) async fn put_rule(cx: &Cx, input: api::PutRuleRequest) -> Result<api::PutRuleResponse> {
    let name = required(input.name, "name")?;
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    let pattern = input.event_pattern.filter(|text| !text.is_empty()).map(|text| pattern::parse(&text)).transpose()?;
    let schedule = input.schedule_expression.filter(|text| !text.is_empty());
    if pattern.is_none() && schedule.is_none() {
        return Err(invalid("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    if let Some(text) = &schedule {
        if bus.name != DEFAULT_BUS {
            return Err(invalid("ScheduleExpression is supported only on the default event bus."));
        }
        Expression::parse(text, Dialect::Rule).map_err(|_| invalid("Parameter ScheduleExpression is not valid."))?;
    }
    let given_tags = tags::parse(input.tags)?;
    let key = RuleKey { bus: bus.name.clone(), name };
    let resource =
        if key.bus == DEFAULT_BUS { format!("rule/{}", key.name) } else { format!("rule/{}/{}", key.bus, key.name) };
    let now = cx.now();
    let state = input.state.as_ref().and_then(|state| RuleState::parse(state.as_str())).unwrap_or(RuleState::Enabled);
    let wanted = Rule {
        key: key.clone(),
        arn: Arn::new("events", cx.scope(), &resource),
        pattern,
        schedule,
        state,
        description: input.description,
        role: input.role_arn,
        targets: Vec::new(),
        tags: given_tags,
        scheduled_from: now,
        ran_at: None,
    };
    let table = &cx.state.events.rules.table;
    if table.get(cx.scope(), &key).is_none() && rules_of(cx, &key.bus).count() >= RULES_PER_BUS_MAX {
        return Err(Error::LimitExceeded("The requested resource exceeds the maximum number allowed.".to_owned()));
    }
    let (rule, is_new) = table.get_or_insert_with(cx.scope(), &key, || wanted.clone());
    if !is_new {
        // Tags of a rule that is there already are ignored, as in EventBridge.
        table.update(cx.scope(), &key, |rule| {
            let keeps_time = rule.schedule == wanted.schedule && rule.is_enabled() == wanted.is_enabled();
            let (scheduled_from, ran_at) = (rule.scheduled_from, rule.ran_at);
            let (targets, tags) = (std::mem::take(&mut rule.targets), std::mem::take(&mut rule.tags));
            *rule = Rule { targets, tags, ..wanted };
            if keeps_time {
                (rule.scheduled_from, rule.ran_at) = (scheduled_from, ran_at);
            }
        });
    }
    Ok(api::PutRuleResponse { rule_arn: Some(rule.arn.to_string()) })
}

/// Describes a rule.
pub(crate) async fn describe_rule(cx: &Cx, input: api::DescribeRuleRequest) -> Result<api::DescribeRuleResponse> {
    let rule = find(cx, &required(input.name, "name")?, input.event_bus_name.as_deref())?;
    Ok(api::DescribeRuleResponse {
        name: Some(rule.key.name.clone()),
        arn: Some(rule.arn.to_string()),
        event_pattern: rule.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
        schedule_expression: rule.schedule.clone(),
        state: Some(rule.state.as_str().into()),
        description: rule.description.clone(),
        role_arn: rule.role.clone(),
        managed_by: None,
        event_bus_name: Some(rule.key.bus.clone()),
        created_by: Some(cx.scope().account.to_string()),
    })
}

/// Lists the rules of a bus.
pub(crate) async fn list_rules(cx: &Cx, input: api::ListRulesRequest) -> Result<api::ListRulesResponse> {
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    let prefix = input.name_prefix.unwrap_or_default();
    let rules = rules_of(cx, &bus.name).filter(|rule| rule.key.name.starts_with(&prefix));
    let page = page("ListRules", (input.next_token, input.limit), rules, |rule| rule.key.name.clone())?;
    let view = |rule: &Arc<Rule>| api::Rule {
        name: Some(rule.key.name.clone()),
        arn: Some(rule.arn.to_string()),
        event_pattern: rule.pattern.as_ref().map(|pattern| pattern.as_str().to_owned()),
        state: Some(rule.state.as_str().into()),
        description: rule.description.clone(),
        schedule_expression: rule.schedule.clone(),
        role_arn: rule.role.clone(),
        managed_by: None,
        event_bus_name: Some(rule.key.bus.clone()),
    };
    Ok(api::ListRulesResponse { rules: Some(page.items.iter().map(view).collect()), next_token: page.next })
}

/// Lists the names of the rules of a bus that have a target.
pub(crate) async fn list_rule_names_by_target(
    cx: &Cx,
    input: api::ListRuleNamesByTargetRequest,
) -> Result<api::ListRuleNamesByTargetResponse> {
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    let arn = required(input.target_arn, "targetArn")?;
    let rules = rules_of(cx, &bus.name).filter(|rule| rule.targets.iter().any(|target| target.arn == arn));
    let names = rules.map(|rule| rule.key.name.clone());
    let page = page("ListRuleNamesByTarget", (input.next_token, input.limit), names, String::clone)?;
    Ok(api::ListRuleNamesByTargetResponse { rule_names: Some(page.items), next_token: page.next })
}

/// Has a rule do something again.
pub(crate) async fn enable_rule(cx: &Cx, input: api::EnableRuleRequest) -> Result<()> {
    set_state(cx, &required(input.name, "name")?, input.event_bus_name.as_deref(), RuleState::Enabled)
}

/// Has a rule do nothing.
pub(crate) async fn disable_rule(cx: &Cx, input: api::DisableRuleRequest) -> Result<()> {
    set_state(cx, &required(input.name, "name")?, input.event_bus_name.as_deref(), RuleState::Disabled)
}

/// Deletes a rule that has no targets any more. One that is not there is deleted already.
pub(crate) async fn delete_rule(cx: &Cx, input: api::DeleteRuleRequest) -> Result<()> {
    let bus = bus::find(cx, input.event_bus_name.as_deref())?;
    let key = RuleKey { bus: bus.name.clone(), name: required(input.name, "name")? };
    let table = &cx.state.events.rules.table;
    let removed = table.remove_if(cx.scope(), &key, |rule| rule.targets.is_empty());
    if removed.is_none() && table.get(cx.scope(), &key).is_some() {
        return Err(invalid("Rule can't be deleted since it has targets."));
    }
    Ok(())
}

/// Finds a rule.
pub(crate) fn find(cx: &Cx, name: &str, bus: Option<&str>) -> Result<Arc<Rule>> {
    let bus = bus::find(cx, bus)?;
    let key = RuleKey { bus: bus.name.clone(), name: name.to_owned() };
    cx.state.events.rules.table.get(cx.scope(), &key).ok_or_else(|| not_found(&key))
}

pub(crate) fn not_found(key: &RuleKey) -> Error {
    Error::ResourceNotFound(format!("Rule {} does not exist on EventBus {}.", key.name, key.bus))
}

fn set_state(cx: &Cx, name: &str, bus: Option<&str>, state: RuleState) -> Result<()> {
    let key = find(cx, name, bus)?.key.clone();
    let now = cx.now();
    let changed = cx.state.events.rules.table.update(cx.scope(), &key, |rule| {
        if rule.state != state {
            rule.state = state;
            rule.scheduled_from = now;
            rule.ran_at = None;
        }
    });
    changed.map(drop).ok_or_else(|| not_found(&key))
}

fn rules_of<'a>(cx: &'a Cx, bus: &str) -> impl Iterator<Item = Arc<Rule>> + use<'a> {
    let bus = bus.to_owned();
    let first = RuleKey { bus: bus.clone(), name: String::new() };
    let rows = cx.state.events.rules.table.walk_from(cx.scope(), first);
    rows.take_while(move |(key, _)| key.bus == bus).map(|(_, rule)| rule)
}
