//! How deployments are given up and taken back, whenever the server is killed.

use std::sync::Arc;

use base::{AccountId, Arn, Region, Scope, ServiceDeploymentId, ServiceRevisionId};
use state::ecs::{
    Deployment, GivingUp, Monitor, Monitors, RolloutState, Service, ServiceDeployment, ServiceDeploymentKey,
    ServiceDeploymentStatus, ServiceRevision, ServiceRevisionKey, WayBack,
};
use state::{Document, State};

use super::super::service_plan::tests::{second, service};

fn scope() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

fn key(id: &str) -> ServiceDeploymentKey {
    ServiceDeploymentKey { service: service(1, 100, 200).key, id: ServiceDeploymentId::new(id) }
}

/// Makes a state with a service, and the revisions and the history of its deployments: each a letter and its status.
fn state(service: &Service, history: &[(&str, ServiceDeploymentStatus)]) -> Arc<State> {
    let state = State::in_memory();
    state.ecs.services.insert(&scope(), &service.key, service.clone());
    for (place, (id, status)) in history.iter().enumerate() {
        let mut row = row(id, *status);
        row.finished_at = status.is_final().then(|| second(i64::try_from(place).unwrap()));
        state.ecs.service_deployments.insert(&scope(), &row.key.clone(), row);
        let revision = ServiceRevisionKey { service: service.key.clone(), id: ServiceRevisionId::new(*id) };
        let workload = service.workload.clone().unwrap();
        let arn = Arn::new("ecs", &scope(), id);
        let row = ServiceRevision { key: revision.clone(), arn, created_at: second(0), workload };
        state.ecs.service_revisions.insert(&scope(), &revision, row);
    }
    state
}

fn row(id: &str, status: ServiceDeploymentStatus) -> ServiceDeployment {
    ServiceDeployment {
        key: key(id),
        arn: Arn::new("ecs", &scope(), id),
        sources: Vec::new(),
        target: ServiceRevisionId::new(id),
        deployment_configuration: Document::new("{}"),
        has_circuit_breaker: true,
        created_at: second(0),
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: second(0),
        status,
        status_reason: None,
        rollback: None,
        shift: None,
        monitors: Monitors::default(),
        is_of_deleted_service: false,
    }
}

fn tripped() -> GivingUp {
    GivingUp {
        rollout_reason: "tripped".to_owned(),
        status_reason: "it tripped".to_owned(),
        way_back: Some(WayBack { rollout_reason: "back to".to_owned(), status_reason: "it went back".to_owned() }),
        found_by: Monitor::CircuitBreaker,
    }
}

/// Renders the deployments of the service, the primary one first.
fn shown(state: &State) -> String {
    let service = state.ecs.services.get(&scope(), &service(1, 100, 200).key).unwrap();
    let one = |deployment: &Deployment| {
        let rollout = match &deployment.rollout {
            RolloutState::InProgress => deployment.rollout_reason.clone().unwrap_or_else(|| "in progress".to_owned()),
            RolloutState::Completed => "completed".to_owned(),
            RolloutState::Failed { reason } => format!("failed: {reason}"),
        };
        format!("{} of {} {rollout}", deployment.revision, deployment.service_deployment)
    };
    service.deployments.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_service_goes_back_to_the_newest_completed_deployment() {
    use ServiceDeploymentStatus::{InProgress, RollbackSuccessful, Stopped, Successful};
    let alone = {
        let mut service = service(1, 100, 200);
        service.deployments.truncate(1);
        service
    };
    let mut beside = service(1, 100, 200);
    beside.deployments[1].rollout = RolloutState::Completed;
    let back = "o of n back to ecs-svc/o., n of n failed: tripped";
    type Row<'a> = (&'a Service, &'a [(&'a str, ServiceDeploymentStatus)], &'a str);
    let rows: [Row<'_>; 6] = [
        (&beside, &[("o", Successful), ("n", InProgress)], back),
        (&alone, &[("o", Successful), ("n", InProgress)], back),
        (&alone, &[("a", Successful), ("o", Successful), ("p", Stopped), ("n", InProgress)], back),
        (&alone, &[("o", Stopped), ("n", InProgress)], "n of n failed: tripped"),
        // What was taken back has no revision that it went back to in its row.
        (&alone, &[("o", RollbackSuccessful), ("n", InProgress)], "n of n failed: tripped"),
        (&alone, &[("n", InProgress)], "n of n failed: tripped"),
    ];
    for (service, history, expected) in rows {
        let state = state(service, history);
        let back_to = state.ecs.give_up_deployment(&scope(), service, &tripped(), second(9));
        assert_eq!(shown(&state), expected, "{history:?}");
        assert_eq!(back_to.is_some(), expected == back);
        let row = state.ecs.service_deployments.get(&scope(), &key("n")).unwrap();
        assert_eq!(row.rollback.as_ref().map(|rollback| rollback.revision.clone()), back_to);
        let expected_reason = if expected == back { "it went back" } else { "it tripped" };
        assert_eq!(row.status_reason.as_deref(), Some(expected_reason));
        assert!(row.monitors.is_breaker_triggered);
    }
}

#[test]
fn a_service_does_not_go_back_to_what_another_one_of_its_name_was() {
    let mut alone = service(1, 100, 200);
    alone.deployments.truncate(1);
    let state =
        state(&alone, &[("o", ServiceDeploymentStatus::Successful), ("n", ServiceDeploymentStatus::InProgress)]);
    state.ecs.service_deployments.update(&scope(), &key("o"), |row| row.is_of_deleted_service = true);
    assert_eq!(state.ecs.give_up_deployment(&scope(), &alone, &tripped(), second(9)), None);
    assert_eq!(shown(&state), "n of n failed: tripped");
}

#[test]
fn a_server_that_is_killed_while_it_gives_a_deployment_up_does_it_again() {
    let mut before = service(1, 100, 200);
    before.deployments[1].rollout = RolloutState::Completed;
    let state =
        state(&before, &[("o", ServiceDeploymentStatus::Successful), ("n", ServiceDeploymentStatus::InProgress)]);
    state.ecs.give_up_deployment(&scope(), &before, &tripped(), second(9));
    let after = shown(&state);
    // The journal has the history's row, and not the service's.
    state.ecs.services.insert(&scope(), &before.key, before.clone());
    state.ecs.give_up_deployment(&scope(), &before, &tripped(), second(9));
    assert_eq!(shown(&state), after);
}

#[test]
fn a_way_back_leads_no_further_back() {
    let mut before = service(1, 100, 200);
    before.deployments[0].service_deployment = ServiceDeploymentId::new("m");
    before.deployments[1].rollout = RolloutState::Completed;
    let state =
        state(&before, &[("o", ServiceDeploymentStatus::Successful), ("m", ServiceDeploymentStatus::InProgress)]);
    assert_eq!(state.ecs.give_up_deployment(&scope(), &before, &tripped(), second(9)), None);
    assert_eq!(shown(&state), "n of m failed: tripped, o of o completed");
}

#[test]
fn a_stop_that_was_asked_for_reaches_the_service_though_the_server_is_killed_in_between() {
    let mut before = service(1, 100, 200);
    before.deployments[1].rollout = RolloutState::Completed;
    for (rolls_back, expected) in
        [(true, "o of n in progress, n of n failed: why"), (false, "n of n failed: why, o of o completed")]
    {
        let history = [("o", ServiceDeploymentStatus::Successful), ("n", ServiceDeploymentStatus::InProgress)];
        let state = state(&before, &history);
        state.ecs.stop_service_deployment(&scope(), &key("n"), rolls_back, "why", second(9)).unwrap().unwrap();
        assert_eq!(shown(&state), expected);
        state.ecs.services.insert(&scope(), &before.key, before.clone());
        state.ecs.carry_out_stop(&scope(), &key("n"), second(9));
        assert_eq!(shown(&state), expected);
        state.ecs.carry_out_stop(&scope(), &key("n"), second(10));
        assert_eq!(shown(&state), expected);
    }
}
