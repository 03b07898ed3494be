//! Lifecycle policies, and what one would do.

use std::collections::{HashMap, HashSet};

use api::ecr as api;
use base::{Page, PageToken, Scope, Timestamp};
use state::Cx;
use state::ecr::lifecycle::{Action, Candidate, LifecyclePolicy, Verdict};
use state::ecr::{Lifecycle, Preview};

use crate::{Error, Result, image_id, invalid, invalid_token, lookup, page_size, required};

/// How many results of a preview a page has unless the request says.
const PAGE_SIZE: usize = 100;
const LISTING: &str = "GetLifecyclePolicyPreview";

/// Gives a repository a lifecycle policy. The controller carries it out.
pub(crate) async fn put_lifecycle_policy(
    cx: &Cx,
    input: api::PutLifecyclePolicyRequest,
) -> Result<api::PutLifecyclePolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let text = required(input.lifecycle_policy_text, "lifecyclePolicyText")?;
    lookup::find(cx, &scope, &name)?;
    parse(&text)?;
    lookup::change(cx, &scope, &name, |repository| {
        repository.lifecycle = Some(Lifecycle { text: text.clone(), put_at: cx.now(), evaluated_at: None });
        Ok(())
    })?;
    let registry_id = Some(scope.account.to_string());
    Ok(api::PutLifecyclePolicyResponse { registry_id, repository_name: Some(name), lifecycle_policy_text: Some(text) })
}

/// Shows a repository's lifecycle policy.
pub(crate) async fn get_lifecycle_policy(
    cx: &Cx,
    input: api::GetLifecyclePolicyRequest,
) -> Result<api::GetLifecyclePolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = lookup::find(cx, &scope, &name)?;
    let lifecycle = repository.lifecycle.as_ref().ok_or_else(|| not_found(&scope, &name))?;
    Ok(api::GetLifecyclePolicyResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        lifecycle_policy_text: Some(lifecycle.text.clone()),
        last_evaluated_at: Some(evaluated_at(lifecycle).into()),
    })
}

/// Takes a repository's lifecycle policy away.
pub(crate) async fn delete_lifecycle_policy(
    cx: &Cx,
    input: api::DeleteLifecyclePolicyRequest,
) -> Result<api::DeleteLifecyclePolicyResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let mut gone = None;
    lookup::change(cx, &scope, &name, |repository| {
        gone = repository.lifecycle.take();
        if gone.is_some() { Ok(()) } else { Err(not_found(&scope, &name)) }
    })?;
    Ok(api::DeleteLifecyclePolicyResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        last_evaluated_at: gone.as_ref().map(|gone| evaluated_at(gone).into()),
        lifecycle_policy_text: gone.map(|gone| gone.text),
    })
}

/// Asks what a policy would do: the repository's own, or another.
pub(crate) async fn start_lifecycle_policy_preview(
    cx: &Cx,
    input: api::StartLifecyclePolicyPreviewRequest,
) -> Result<api::StartLifecyclePolicyPreviewResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = lookup::find(cx, &scope, &name)?;
    let own = || repository.lifecycle.as_ref().map(|lifecycle| lifecycle.text.clone());
    let text = input.lifecycle_policy_text.or_else(own).ok_or_else(|| not_found(&scope, &name))?;
    parse(&text)?;
    lookup::change(cx, &scope, &name, |repository| {
        repository.preview = Some(Preview { text: text.clone(), at: cx.now() });
        Ok(())
    })?;
    Ok(api::StartLifecyclePolicyPreviewResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        lifecycle_policy_text: Some(text),
        status: Some(api::LifecyclePolicyPreviewStatus::InProgress),
    })
}

/// Shows what the policy that was last asked about would do.
pub(crate) async fn get_lifecycle_policy_preview(
    cx: &Cx,
    input: api::GetLifecyclePolicyPreviewRequest,
) -> Result<api::GetLifecyclePolicyPreviewResponse> {
    let (scope, name) = lookup::named(cx, input.registry_id.as_deref(), input.repository_name)?;
    let repository = lookup::find(cx, &scope, &name)?;
    let preview = repository.preview.as_ref().ok_or_else(|| no_preview(&scope, &name))?;
    let candidates = cx.state.ecr.lifecycle_candidates(&scope, &name);
    let verdicts = parse(&preview.text)?.evaluate(&candidates, preview.at);
    let by_digest = candidates.iter().map(|image| (image.digest.as_str(), image)).collect::<HashMap<_, _>>();
    let of = |verdict: &Verdict| by_digest.get(verdict.digest.as_str()).copied();
    let mut results = verdicts.iter().filter_map(|verdict| Some((verdict, of(verdict)?))).collect::<Vec<_>>();
    if let Some(ids) = input.image_ids {
        // The operation has no error for an image that is not there.
        let wanted = ids.iter().filter_map(|id| image_id::resolve(&cx.state, &scope, &name, id).ok());
        let wanted = wanted.map(|image| image.digest.to_string()).collect::<HashSet<_>>();
        results.retain(|(verdict, _)| wanted.contains(&verdict.digest));
    }
    let status = input.filter.and_then(|filter| filter.tag_status);
    results.retain(|(_, image)| match status {
        Some(api::TagStatus::Tagged) => !image.tags.is_empty(),
        Some(api::TagStatus::Untagged) => image.tags.is_empty(),
        Some(api::TagStatus::Any | api::TagStatus::Other(_)) | None => true,
    });
    let page = cut(results, input.next_token.as_deref(), page_size(input.max_results, PAGE_SIZE))?;
    Ok(api::GetLifecyclePolicyPreviewResponse {
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(name),
        lifecycle_policy_text: Some(preview.text.clone()),
        status: Some(api::LifecyclePolicyPreviewStatus::Complete),
        next_token: page.next,
        preview_results: Some(page.items.into_iter().map(|(verdict, image)| view(verdict, image)).collect()),
        summary: Some(summary(&verdicts)),
    })
}

/// Checks a policy.
pub(crate) fn parse(text: &str) -> Result<LifecyclePolicy> {
    LifecyclePolicy::parse(text)
        .map_err(|reason| invalid("LifecyclePolicyText", &format!("Lifecycle policy validation failure: {reason}")))
}

/// Cuts a page out of results that are sorted by the time of the push and the digest.
fn cut<'a>(
    results: Vec<(&'a Verdict, &'a Candidate)>,
    token: Option<&str>,
    size: usize,
) -> Result<Page<(&'a Verdict, &'a Candidate)>> {
    let after = token.map(|token| PageToken::decode(LISTING, token).map_err(|_| invalid_token())).transpose()?;
    let key = |(_, image): &(&Verdict, &Candidate)| format!("{:020} {}", image.pushed_at.as_millis(), image.digest);
    let rest = results.into_iter().filter(|result| after.as_ref().is_none_or(|after| key(result) > *after));
    Ok(Page::cut(LISTING, size, rest, key))
}

fn view(verdict: &Verdict, image: &Candidate) -> api::LifecyclePolicyPreviewResult {
    let action = match verdict.action {
        Action::Expire => {
            api::LifecyclePolicyRuleAction { r#type: Some(api::ImageActionType::Expire), target_storage_class: None }
        }
        Action::Archive => api::LifecyclePolicyRuleAction {
            r#type: Some(api::ImageActionType::Transition),
            target_storage_class: Some(api::LifecyclePolicyTargetStorageClass::Archive),
        },
    };
    api::LifecyclePolicyPreviewResult {
        image_tags: Some(image.tags.clone()),
        image_digest: Some(image.digest.clone()),
        image_pushed_at: Some(image.pushed_at.into()),
        action: Some(action),
        applied_rule_priority: Some(verdict.priority),
        storage_class: None,
    }
}

fn summary(verdicts: &[Verdict]) -> api::LifecyclePolicyPreviewSummary {
    let count =
        |action| i32::try_from(verdicts.iter().filter(|verdict| verdict.action == action).count()).unwrap_or(i32::MAX);
    let archived = count(Action::Archive);
    let transitions = (archived > 0).then(|| {
        vec![api::TransitioningImageTotalCount {
            target_storage_class: Some(api::LifecyclePolicyTargetStorageClass::Archive),
            image_total_count: Some(archived),
        }]
    });
    api::LifecyclePolicyPreviewSummary {
        expiring_image_total_count: Some(count(Action::Expire)),
        transitioning_image_total_counts: transitions,
    }
}

/// Returns when a policy was last carried out: the epoch if it never was.
fn evaluated_at(lifecycle: &Lifecycle) -> Timestamp {
    lifecycle.evaluated_at.unwrap_or(Timestamp::from_millis(0))
}

fn not_found(scope: &Scope, name: &str) -> Error {
    Error::LifecyclePolicyNotFound(format!(
        "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{}'",
        scope.account
    ))
}

/// Words a preview that nobody asked for. (Text unverified.)
fn no_preview(scope: &Scope, name: &str) -> Error {
    Error::LifecyclePolicyPreviewNotFound(format!(
        "Lifecycle policy preview does not exist for the repository with name '{name}' in the registry with id '{}'",
        scope.account
    ))
}
