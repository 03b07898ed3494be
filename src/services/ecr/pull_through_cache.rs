//! Rules of pull-through caches. The registry follows them when an image is pulled (`registry::PullThrough`).
//!
//! Beyond AWS: a registry on this machine, by its loopback address, may stand for any other, so that rules can be tried
//! without the internet. It needs no credentials.

use std::net::IpAddr;

use api::ecr as api;
use base::{Arn, EcrHost, EcrHostForm, Page, PageToken, Scope};
use state::Cx;
use state::ecr::PullThroughCacheRule;

use crate::{Error, Result, invalid_token, lookup, page_size, required};

/// How many rules a page has unless the request says.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "DescribePullThroughCacheRules";
/// How many rules a registry has at most. AWS's limit.
const RULES_MAX: usize = 50;
/// What ends the names of Azure's registries.
const AZURE: &str = ".azurecr.io";

/// Makes a rule.
pub(crate) async fn create_pull_through_cache_rule(
    cx: &Cx,
    input: api::CreatePullThroughCacheRuleRequest,
) -> Result<api::CreatePullThroughCacheRuleResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    let prefix = required(input.ecr_repository_prefix, "ecrRepositoryPrefix")?;
    let url = required(input.upstream_registry_url, "upstreamRegistryUrl")?;
    let near = || is_near(&url).then(|| input.upstream_registry.clone().unwrap_or(api::UpstreamRegistry::DockerHub));
    let upstream =
        upstream(&url).or_else(near).filter(|known| input.upstream_registry.as_ref().is_none_or(|said| said == known));
    let upstream = upstream.ok_or_else(|| {
        Error::UnsupportedUpstreamRegistry(format!(
            "The upstream registry URL {url} is invalid. Specify a valid upstream registry URL and try again"
        ))
    })?;
    if input.credential_arn.is_none() && needs_credentials(&upstream) && !is_near(&url) {
        let message = "The specified upstream registry requires authentication. Specify a valid Secrets Manager ARN";
        return Err(Error::UnsupportedUpstreamRegistry(message.to_owned()));
    }
    check_credentials(cx, input.credential_arn.as_deref())?;
    let is_other_account = EcrHost::parse(&url).is_some_and(|host| host.scope.account != scope.account);
    if is_other_account && input.custom_role_arn.is_none() {
        // Text unverified.
        let message = "A custom role ARN is required when the upstream registry is in another account";
        return Err(Error::Validation(message.to_owned()));
    }
    let rules = &cx.state.ecr.pull_through_cache_rules;
    if rules.walk(&scope, None).count() >= RULES_MAX {
        // Text unverified.
        let message = format!("The maximum number of pull through cache rules ({RULES_MAX}) has been exceeded");
        return Err(Error::LimitExceeded(message));
    }
    let rule = PullThroughCacheRule {
        prefix: prefix.clone(),
        upstream_url: url,
        upstream: upstream.as_str().to_owned(),
        upstream_prefix: input.upstream_repository_prefix,
        credential_arn: input.credential_arn,
        role_arn: input.custom_role_arn,
        created_at: cx.now(),
        updated_at: cx.now(),
    };
    let (rule, is_new) = rules.get_or_insert_with(&scope, &prefix, || rule);
    if !is_new {
        // Text unverified.
        return Err(Error::PullThroughCacheRuleAlreadyExists(format!(
            "A pull through cache rule with prefix '{prefix}' already exists in the registry with id '{}'",
            scope.account
        )));
    }
    Ok(api::CreatePullThroughCacheRuleResponse {
        ecr_repository_prefix: Some(prefix),
        upstream_registry_url: Some(rule.upstream_url.clone()),
        created_at: Some(rule.created_at.into()),
        registry_id: Some(scope.account.to_string()),
        upstream_registry: Some(upstream),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.role_arn.clone(),
        upstream_repository_prefix: rule.upstream_prefix.clone(),
    })
}

/// Describes rules, by prefix or page by page.
pub(crate) async fn describe_pull_through_cache_rules(
    cx: &Cx,
    input: api::DescribePullThroughCacheRulesRequest,
) -> Result<api::DescribePullThroughCacheRulesResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    let rules = &cx.state.ecr.pull_through_cache_rules;
    if let Some(prefixes) = input.ecr_repository_prefixes {
        let find = |prefix: &String| rules.get(&scope, prefix).ok_or_else(|| not_found(&scope, prefix));
        let found = prefixes.iter().map(|prefix| Ok(view(&scope, &*find(prefix)?))).collect::<Result<Vec<_>>>()?;
        return Ok(api::DescribePullThroughCacheRulesResponse {
            pull_through_cache_rules: Some(found),
            next_token: None,
        });
    }
    let after = input.next_token.map(|token| PageToken::decode(LISTING, &token)).transpose();
    let rest = rules.walk(&scope, after.map_err(|_| invalid_token())?);
    let page = Page::cut(LISTING, page_size(input.max_results, PAGE_SIZE), rest, |(prefix, _)| prefix.clone());
    let found = page.items.iter().map(|(_, rule)| view(&scope, rule)).collect();
    Ok(api::DescribePullThroughCacheRulesResponse { pull_through_cache_rules: Some(found), next_token: page.next })
}

/// Changes what a rule logs in with.
pub(crate) async fn update_pull_through_cache_rule(
    cx: &Cx,
    input: api::UpdatePullThroughCacheRuleRequest,
) -> Result<api::UpdatePullThroughCacheRuleResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    let prefix = required(input.ecr_repository_prefix, "ecrRepositoryPrefix")?;
    check_credentials(cx, input.credential_arn.as_deref())?;
    let rule = cx.state.ecr.pull_through_cache_rules.update(&scope, &prefix, |rule| {
        rule.credential_arn = input.credential_arn.or_else(|| rule.credential_arn.take());
        rule.role_arn = input.custom_role_arn.or_else(|| rule.role_arn.take());
        rule.updated_at = cx.now();
    });
    let rule = rule.ok_or_else(|| not_found(&scope, &prefix))?;
    Ok(api::UpdatePullThroughCacheRuleResponse {
        ecr_repository_prefix: Some(prefix),
        registry_id: Some(scope.account.to_string()),
        updated_at: Some(rule.updated_at.into()),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.role_arn.clone(),
        upstream_repository_prefix: rule.upstream_prefix.clone(),
    })
}

/// Deletes a rule. The repositories stay.
pub(crate) async fn delete_pull_through_cache_rule(
    cx: &Cx,
    input: api::DeletePullThroughCacheRuleRequest,
) -> Result<api::DeletePullThroughCacheRuleResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    let prefix = required(input.ecr_repository_prefix, "ecrRepositoryPrefix")?;
    let rule = cx.state.ecr.pull_through_cache_rules.remove(&scope, &prefix);
    let rule = rule.ok_or_else(|| not_found(&scope, &prefix))?;
    Ok(api::DeletePullThroughCacheRuleResponse {
        ecr_repository_prefix: Some(prefix),
        upstream_registry_url: Some(rule.upstream_url.clone()),
        created_at: Some(rule.created_at.into()),
        registry_id: Some(scope.account.to_string()),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.role_arn.clone(),
        upstream_repository_prefix: rule.upstream_prefix.clone(),
    })
}

/// Tells whether a rule could log in, as far as that is known without asking the other registry: whether its secret is
/// there.
pub(crate) async fn validate_pull_through_cache_rule(
    cx: &Cx,
    input: api::ValidatePullThroughCacheRuleRequest,
) -> Result<api::ValidatePullThroughCacheRuleResponse> {
    let scope = lookup::registry(cx, input.registry_id.as_deref())?;
    let prefix = required(input.ecr_repository_prefix, "ecrRepositoryPrefix")?;
    let rule = cx.state.ecr.pull_through_cache_rules.get(&scope, &prefix);
    let rule = rule.ok_or_else(|| not_found(&scope, &prefix))?;
    let failure = check_credentials(cx, rule.credential_arn.as_deref()).err().map(|_| NO_SECRET.to_owned());
    Ok(api::ValidatePullThroughCacheRuleResponse {
        ecr_repository_prefix: Some(prefix),
        registry_id: Some(scope.account.to_string()),
        upstream_registry_url: Some(rule.upstream_url.clone()),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.role_arn.clone(),
        upstream_repository_prefix: rule.upstream_prefix.clone(),
        is_valid: Some(failure.is_none()),
        failure,
    })
}

/// As the exception's documentation has it; text unverified.
const NO_SECRET: &str = "The ARN of the secret specified in the pull through cache rule was not found. Update the pull \
                         through cache rule with a valid secret ARN and try again.";

/// Names the kind of a registry that can be cached; none of another.
fn upstream(url: &str) -> Option<api::UpstreamRegistry> {
    use api::UpstreamRegistry as Kind;
    Some(match url {
        "public.ecr.aws" => Kind::EcrPublic,
        "quay.io" => Kind::Quay,
        "registry.k8s.io" => Kind::K8s,
        "registry-1.docker.io" => Kind::DockerHub,
        "ghcr.io" => Kind::GithubContainerRegistry,
        "registry.gitlab.com" => Kind::GitlabContainerRegistry,
        "cgr.dev" => Kind::Chainguard,
        url if url.strip_suffix(AZURE).is_some_and(|name| !name.is_empty()) => Kind::AzureContainerRegistry,
        url if EcrHost::parse(url).is_some_and(|host| matches!(host.form, EcrHostForm::Aws)) => Kind::Ecr,
        _ => return None,
    })
}

/// Tells whether a registry is at a loopback address of this machine.
fn is_near(url: &str) -> bool {
    let Some((host, port)) = url.rsplit_once(':') else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    is_here && port.parse::<u16>().is_ok()
}

fn needs_credentials(upstream: &api::UpstreamRegistry) -> bool {
    use api::UpstreamRegistry as Kind;
    match upstream {
        Kind::Ecr | Kind::EcrPublic | Kind::Quay | Kind::K8s | Kind::Other(_) => false,
        Kind::DockerHub
        | Kind::GithubContainerRegistry
        | Kind::AzureContainerRegistry
        | Kind::GitlabContainerRegistry
        | Kind::Chainguard => true,
    }
}

/// Checks that a secret is there, where one is named.
fn check_credentials(cx: &Cx, arn: Option<&str>) -> Result<()> {
    let Some(arn) = arn else { return Ok(()) };
    let scope = Arn::parse(arn).and_then(|arn| Some(Scope::new(arn.account()?, arn.region()?)));
    let secret = scope.and_then(|scope| cx.state.secretsmanager.find(&scope, arn, cx.now()));
    secret.map(|_| ()).ok_or_else(|| Error::SecretNotFound(NO_SECRET.to_owned()))
}

fn view(scope: &Scope, rule: &PullThroughCacheRule) -> api::PullThroughCacheRule {
    api::PullThroughCacheRule {
        ecr_repository_prefix: Some(rule.prefix.clone()),
        upstream_registry_url: Some(rule.upstream_url.clone()),
        created_at: Some(rule.created_at.into()),
        registry_id: Some(scope.account.to_string()),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.role_arn.clone(),
        upstream_repository_prefix: rule.upstream_prefix.clone(),
        upstream_registry: Some(api::UpstreamRegistry::from(rule.upstream.as_str())),
        updated_at: Some(rule.updated_at.into()),
    }
}

/// Words a rule that is not there. (Text unverified.)
fn not_found(scope: &Scope, prefix: &str) -> Error {
    Error::PullThroughCacheRuleNotFound(format!(
        "The pull through cache rule with prefix '{prefix}' does not exist in the registry with id '{}'",
        scope.account
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_this_machine_is_told_by_its_address() {
        for near in ["127.0.0.1:5000", "localhost:5000", "[::1]:5000"] {
            assert!(is_near(near), "{near}");
        }
        for far in ["10.0.0.1:5000", "localhost", "localhost.example:5000", "127.0.0.1:port", "http://127.0.0.1:1/x"] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn only_some_registries_can_be_cached() {
        for (url, kind) in [
            ("public.ecr.aws", Some("ecr-public")),
            ("registry-1.docker.io", Some("docker-hub")),
            ("team.azurecr.io", Some("azure-container-registry")),
            (".azurecr.io", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("ecr")),
            ("123456789012.dkr.ecr.eu-west-1.localhost:4566", None),
            ("harbor.example.com", None),
            ("127.0.0.1:5000", None),
            ("https://quay.io", None),
        ] {
            assert_eq!(upstream(url).as_ref().map(api::UpstreamRegistry::as_str), kind, "{url}");
        }
    }
}
