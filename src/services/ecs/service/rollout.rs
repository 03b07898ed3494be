//! `deploymentConfiguration`: how one deployment follows another.

use api::ecs as api;
use state::ecs::{
    AlarmWatch, CircuitBreaker, DeploymentController, FailureThreshold, RolloutPolicy, SchedulingStrategy, ShiftSteps,
    Shifting, Weight,
};

use crate::{Result, document, invalid};

/// The longest bake time, in minutes. (unverified)
const BAKE_TIME_MAX_MIN: i32 = 1440;
/// How many failures trip the circuit breaker unless it says, in percent of the desired tasks.
const THRESHOLD_DEFAULT: u32 = 50;

/// Checks a configuration and completes it: with what was known before, and then with the defaults.
pub(super) fn parse(
    known: Option<&RolloutPolicy>,
    given: Option<api::DeploymentConfiguration>,
    scheduling: SchedulingStrategy,
    controller: DeploymentController,
) -> Result<RolloutPolicy> {
    let known = known.map(|policy| document::read(&policy.document)).unwrap_or_default();
    let merged = merge(known, given.unwrap_or_default());
    let is_daemon = scheduling == SchedulingStrategy::Daemon;
    let maximum = merged.maximum_percent.unwrap_or(if is_daemon { 100 } else { 200 });
    let minimum = merged.minimum_healthy_percent.unwrap_or(if is_daemon { 0 } else { 100 });
    check_percents(minimum, maximum, is_daemon)?;
    let mut shown = merged;
    (shown.maximum_percent, shown.minimum_healthy_percent) = (Some(maximum), Some(minimum));
    if controller == DeploymentController::Ecs {
        shown.strategy.get_or_insert(api::DeploymentStrategy::Rolling);
        shown.deployment_circuit_breaker.get_or_insert_with(|| api::DeploymentCircuitBreaker {
            enable: Some(false),
            rollback: Some(false),
            ..api::DeploymentCircuitBreaker::default()
        });
        shown.deployment_circuit_breaker.as_ref().map_or(Ok(()), check_threshold)?;
        check_strategy(&shown)?;
        complete_shift(&mut shown);
        shown.bake_time_in_minutes.get_or_insert(0);
    } else if shown.deployment_circuit_breaker.is_some() || shown.alarms.is_some() {
        // The rule is DeploymentCircuitBreaker's documentation; text unverified.
        return Err(invalid(
            "Deployment circuit breaker and alarms are only supported with the ECS deployment controller.",
        ));
    }
    let breaker = shown.deployment_circuit_breaker.as_ref().filter(|breaker| breaker.enable == Some(true));
    Ok(RolloutPolicy {
        minimum_healthy_percent: u32::try_from(minimum).unwrap_or_default(),
        maximum_percent: u32::try_from(maximum).unwrap_or_default(),
        circuit_breaker: breaker.map(circuit_breaker),
        alarms: shown.alarms.as_ref().and_then(alarms),
        bake_time_min: shown.bake_time_in_minutes.and_then(|minutes| u32::try_from(minutes).ok()).unwrap_or_default(),
        shifting: shifting(&shown),
        document: document::write(&shown),
    })
}

/// Says how traffic goes over from one deployment to the next; none if tasks take the place of others one by one.
fn shifting(shown: &api::DeploymentConfiguration) -> Option<Shifting> {
    let minutes = |minutes: Option<i32>| minutes.and_then(|minutes| u32::try_from(minutes).ok()).unwrap_or_default();
    let steps = match shown.strategy.as_ref()? {
        // The model's check has refused others.
        api::DeploymentStrategy::Rolling | api::DeploymentStrategy::Other(_) => return None,
        api::DeploymentStrategy::BlueGreen => ShiftSteps::AtOnce,
        api::DeploymentStrategy::Linear => {
            let linear = shown.linear_configuration.as_ref()?;
            let step = share(linear.step_percent?);
            ShiftSteps::Linear { step, bake_min: minutes(linear.step_bake_time_in_minutes) }
        }
        api::DeploymentStrategy::Canary => {
            let canary = shown.canary_configuration.as_ref()?;
            let first = share(canary.canary_percent?);
            ShiftSteps::Canary { first, bake_min: minutes(canary.canary_bake_time_in_minutes) }
        }
    };
    Some(Shifting { steps, bake_min: minutes(shown.bake_time_in_minutes) })
}

/// Reads a share in percent, rounded to a tenth of one; none is less than that, so that each step leads on.
fn share(percent: f64) -> Weight {
    let tenths = (1..=1000_u16).min_by(|&a, &b| {
        let distance = |tenths: u16| (f64::from(tenths) - percent * 10.0).abs();
        distance(a).total_cmp(&distance(b))
    });
    Weight::of_tenths(tenths.unwrap_or(1))
}

fn circuit_breaker(breaker: &api::DeploymentCircuitBreaker) -> CircuitBreaker {
    let threshold = breaker.threshold_configuration.as_ref();
    let value = threshold.and_then(|threshold| u32::try_from(threshold.value?).ok()).unwrap_or(THRESHOLD_DEFAULT);
    let threshold = match threshold.and_then(|threshold| threshold.r#type.as_ref()) {
        Some(api::DeploymentCircuitBreakerThresholdType::Count) => FailureThreshold::Count(value),
        Some(api::DeploymentCircuitBreakerThresholdType::UnboundedPercent) => FailureThreshold::UnboundedPercent(value),
        // The model's check has refused others.
        None
        | Some(
            api::DeploymentCircuitBreakerThresholdType::BoundedPercent
            | api::DeploymentCircuitBreakerThresholdType::Other(_),
        ) => FailureThreshold::BoundedPercent(value),
    };
    CircuitBreaker {
        rolls_back: breaker.rollback == Some(true),
        threshold,
        resets_on_healthy_task: breaker.reset_on_healthy_task != Some(false),
    }
}

fn alarms(alarms: &api::DeploymentAlarms) -> Option<AlarmWatch> {
    if alarms.enable != Some(true) {
        return None;
    }
    let mut names = alarms.alarm_names.clone().unwrap_or_default();
    names.sort();
    names.dedup();
    Some(AlarmWatch { names, rolls_back: alarms.rollback == Some(true) })
}

/// Checks how many failures are asked to be too many. (Bounds are spec 04's; texts unverified.)
fn check_threshold(breaker: &api::DeploymentCircuitBreaker) -> Result<()> {
    let Some(threshold) = &breaker.threshold_configuration else { return Ok(()) };
    let is_count = threshold.r#type == Some(api::DeploymentCircuitBreakerThresholdType::Count);
    match threshold.value {
        Some(value) if value < 1 => Err(invalid("thresholdConfiguration value must be at least 1.")),
        Some(value) if value > 100 && !is_count => {
            Err(invalid("thresholdConfiguration value must be at most 100 for percentages."))
        }
        None if is_count => Err(invalid("thresholdConfiguration value must be specified with the COUNT type.")),
        _ => Ok(()),
    }
}

/// Overlays what is given on what is known, member by member. (That absent members keep their value is unverified.)
fn merge(known: api::DeploymentConfiguration, given: api::DeploymentConfiguration) -> api::DeploymentConfiguration {
    let mut merged = api::DeploymentConfiguration {
        deployment_circuit_breaker: given.deployment_circuit_breaker.or(known.deployment_circuit_breaker),
        maximum_percent: given.maximum_percent.or(known.maximum_percent),
        minimum_healthy_percent: given.minimum_healthy_percent.or(known.minimum_healthy_percent),
        alarms: given.alarms.or(known.alarms),
        bake_time_in_minutes: given.bake_time_in_minutes.or(known.bake_time_in_minutes),
        lifecycle_hooks: given.lifecycle_hooks.or(known.lifecycle_hooks),
        linear_configuration: given.linear_configuration.or(known.linear_configuration),
        canary_configuration: given.canary_configuration.or(known.canary_configuration),
        strategy: given.strategy.or(known.strategy),
    };
    // What belongs to one strategy does not outlive it.
    if merged.strategy != Some(api::DeploymentStrategy::Linear) {
        merged.linear_configuration = None;
    }
    if merged.strategy != Some(api::DeploymentStrategy::Canary) {
        merged.canary_configuration = None;
    }
    merged
}

fn check_percents(minimum: i32, maximum: i32, is_daemon: bool) -> Result<()> {
    if minimum > 100 {
        return Err(invalid("minimumHealthyPercent must be at most 100"));
    }
    if minimum < 0 {
        // Text unverified, as the next one.
        return Err(invalid("minimumHealthyPercent must be at least 0"));
    }
    if maximum < 100 {
        return Err(invalid("maximumPercent must be at least 100"));
    }
    if is_daemon && maximum > 100 {
        // PFr has the first sentence; the second follows its neighbours.
        return Err(invalid(
            "The daemon scheduling strategy does not support values above 100 for maximumPercent. Reduce the value and \
             try again",
        ));
    }
    if minimum == 100 && maximum == 100 {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block any deployment",
        ));
    }
    Ok(())
}

/// Checks what belongs to the strategies with two environments, and completes it. (Texts unverified; the rules are the
/// model's documentation.)
fn check_strategy(configuration: &api::DeploymentConfiguration) -> Result<()> {
    let strategy = configuration.strategy.as_ref().unwrap_or(&api::DeploymentStrategy::Rolling);
    let name = strategy.as_str();
    match configuration.bake_time_in_minutes {
        None if *strategy == api::DeploymentStrategy::BlueGreen => {
            return Err(invalid("bakeTimeInMinutes must be specified with the BLUE_GREEN deployment strategy."));
        }
        Some(minutes) if !(0..=BAKE_TIME_MAX_MIN).contains(&minutes) => {
            return Err(invalid(format!("bakeTimeInMinutes must be between 0 and {BAKE_TIME_MAX_MIN}.")));
        }
        _ => {}
    }
    if let Some(linear) = &configuration.linear_configuration {
        check_steps("stepPercent", linear.step_percent, 3.0)?;
        check_bake("stepBakeTimeInMinutes", linear.step_bake_time_in_minutes)?;
    }
    if let Some(canary) = &configuration.canary_configuration {
        check_steps("canaryPercent", canary.canary_percent, 0.1)?;
        check_bake("canaryBakeTimeInMinutes", canary.canary_bake_time_in_minutes)?;
    }
    for hook in configuration.lifecycle_hooks.iter().flatten() {
        let is_pause = hook.target_type == Some(api::DeploymentLifecycleHookTargetType::Pause);
        if *strategy == api::DeploymentStrategy::Rolling && is_pause {
            return Err(invalid(format!("PAUSE lifecycle hooks are not supported with the {name} strategy.")));
        }
        if !is_pause && hook.hook_target_arn.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("hookTargetArn can not be blank."));
        }
        if !is_pause && hook.role_arn.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("roleArn can not be blank."));
        }
        if hook.lifecycle_stages.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("lifecycleStages can not be empty."));
        }
    }
    Ok(())
}

/// Fills in how traffic is shifted: the model's documented defaults.
fn complete_shift(configuration: &mut api::DeploymentConfiguration) {
    match configuration.strategy {
        Some(api::DeploymentStrategy::Linear) => {
            let linear = configuration.linear_configuration.get_or_insert_default();
            linear.step_percent.get_or_insert(10.0);
            linear.step_bake_time_in_minutes.get_or_insert(6);
        }
        Some(api::DeploymentStrategy::Canary) => {
            let canary = configuration.canary_configuration.get_or_insert_default();
            canary.canary_percent.get_or_insert(5.0);
            canary.canary_bake_time_in_minutes.get_or_insert(10);
        }
        _ => {}
    }
}

fn check_steps(member: &str, percent: Option<f64>, least: f64) -> Result<()> {
    match percent {
        Some(percent) if !(least..=100.0).contains(&percent) => {
            Err(invalid(format!("{member} must be between {least:.1} and 100.0.")))
        }
        _ => Ok(()),
    }
}

fn check_bake(member: &str, minutes: Option<i32>) -> Result<()> {
    match minutes {
        Some(minutes) if !(0..=BAKE_TIME_MAX_MIN).contains(&minutes) => {
            Err(invalid(format!("{member} must be between 0 and {BAKE_TIME_MAX_MIN}.")))
        }
        _ => Ok(()),
    }
}
