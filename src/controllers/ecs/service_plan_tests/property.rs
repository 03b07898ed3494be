//! Random lives of services: whatever happens, no plan leaves the bounds, and when the failures stop, each service comes to
//! what it wants.

use std::time::Duration;

use state::ecs::CircuitBreaker;

use super::*;

/// How many services are tried, and how much happens to each.
const SERVICES: u64 = 400;
const EVENTS: usize = 60;
/// How many plans a service may take to come to rest.
const PLANS_MAX: usize = 2_000;
/// The percentages that services have: minimum and maximum.
const BOUNDS: [(u32, u32); 6] = [(100, 200), (0, 100), (50, 100), (50, 200), (34, 150), (100, 125)];

/// A generator of numbers that need not be good, but the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(len).unwrap())).unwrap()
    }
}

struct Life {
    dice: Dice,
    ids: Ids,
    service: Service,
    members: Vec<Member>,
    /// The deployments that were completed, the newest last.
    completed: Vec<ServiceRevisionId>,
    deployments: usize,
    now: Timestamp,
    log: Vec<String>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut service = service(3, 100, 200);
        service.deployments.clear();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let ids = Ids::new(Arc::new(SequentialEntropy::default()));
        let (members, completed, log) = (Vec::new(), Vec::new(), Vec::new());
        let mut life = Self { dice, ids, service, members, completed, deployments: 0, now: second(NOW_S), log };
        life.update();
        life
    }

    fn deployment(&self, name: &str) -> Deployment {
        let name = name.to_owned();
        let (revision, id) = (ServiceRevisionId::new(name.clone()), ServiceDeploymentId::new(name));
        Deployment::new(revision, id, workload(LaunchType::Fargate), self.now, self.now)
    }

    fn update(&mut self) {
        if self.service.deployments.len() < 5 {
            self.deployments += 1;
            let deployment = self.deployment(&format!("d{}", self.deployments));
            self.service.deploy(deployment);
        }
    }

    fn primary(&mut self) -> &mut Deployment {
        &mut self.service.deployments[0]
    }

    /// Lets something happen.
    fn happen(&mut self) {
        let what = self.dice.roll(12);
        self.log.push(format!("event {what}"));
        let place = if self.members.is_empty() { None } else { Some(self.dice.index(self.members.len())) };
        let now = self.now;
        match what {
            0 => self.update(),
            1 => self.service.desired_count = u32::try_from(self.dice.roll(7)).unwrap(),
            2 => {
                let bounds = BOUNDS[self.dice.index(BOUNDS.len())];
                (self.service.rollout.minimum_healthy_percent, self.service.rollout.maximum_percent) = bounds;
            }
            3 => {
                let breaker = CircuitBreaker {
                    rolls_back: self.dice.one_in(2),
                    threshold: state::ecs::FailureThreshold::default(),
                    resets_on_healthy_task: self.dice.one_in(2),
                };
                self.service.rollout.circuit_breaker = self.dice.one_in(2).then_some(breaker);
            }
            4 => self.service.rebalances_zones = !self.service.rebalances_zones,
            // The server is killed and starts again.
            5 => {
                let kept = serde_json::to_string(&self.service).unwrap();
                self.service = serde_json::from_str(&kept).unwrap();
            }
            6 => {
                if let Some(place) = place {
                    self.change(place, |task| task.protected_until = Some(now.plus(Duration::from_secs(300))));
                }
            }
            // A container ends by itself, or somebody stops the task.
            7 | 8 => {
                let code = if what == 7 { StopCode::EssentialContainerExited } else { StopCode::UserInitiated };
                if let Some(place) = place {
                    self.end(place, code);
                }
            }
            9 => {
                if let Some(place) = place {
                    self.change(place, |task| {
                        for health in task.containers.iter_mut().filter_map(|container| container.health.as_mut()) {
                            (health.status, health.since) = (HealthStatus::Unhealthy, now);
                        }
                    });
                }
            }
            _ => {
                let seconds = [1, 5, 39, 41, 300, 1700, 4000][self.dice.index(7)];
                self.pass(Duration::from_secs(seconds));
            }
        }
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut Task)) {
        change(Arc::make_mut(&mut self.members[place].task));
    }

    fn end(&mut self, place: usize, code: StopCode) {
        let at = self.now;
        self.change(place, |task| {
            if task.stop.is_none() && task.last_status != TaskStatus::Stopped {
                task.stop = Some(StopRequest { code, reason: String::new(), at });
            }
        });
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        let now = self.now;
        // Stopped tasks are forgotten after an hour.
        self.members.retain(|member| member.task.stopped_at.is_none_or(|at| now < at.plus(Duration::from_secs(3600))));
    }

    /// Moves each task on by one status, or not. With `fails`, some never run.
    fn progress(&mut self, fails: bool) {
        let now = self.now;
        for place in 0..self.members.len() {
            if self.dice.one_in(3) {
                continue;
            }
            let has_bad_luck = fails && self.dice.one_in(4);
            let task = &self.members[place].task;
            let next = match (task.last_status, task.stop.is_some()) {
                (TaskStatus::Stopped, _) => continue,
                (TaskStatus::Running, false) if !is_unchecked(task) => continue,
                (TaskStatus::Running, false) => {
                    self.change(place, |task| {
                        let checks = task.containers.iter_mut().filter_map(|container| container.health.as_mut());
                        for health in checks.filter(|health| health.status == HealthStatus::Unknown) {
                            (health.status, health.since) = (HealthStatus::Healthy, now);
                        }
                    });
                    continue;
                }
                (TaskStatus::Provisioning, false) if has_bad_luck => {
                    self.end(place, StopCode::TaskFailedToStart);
                    TaskStatus::Stopping
                }
                (TaskStatus::Provisioning, false) => TaskStatus::Running,
                (TaskStatus::Running | TaskStatus::Provisioning, true) => TaskStatus::Stopping,
                _ => TaskStatus::Stopped,
            };
            self.change(place, |task| {
                task.last_status = next;
                if next == TaskStatus::Running {
                    task.started_at = Some(now);
                }
                if next == TaskStatus::Stopped {
                    task.stopped_at = Some(now);
                }
            });
        }
    }

    fn zones() -> Vec<String> {
        ["a", "b"].map(str::to_owned).to_vec()
    }

    /// Plans once, carries the plan out, and returns when it is to be looked at again, unless something was done.
    fn step(&mut self) -> Result<(), Option<Timestamp>> {
        let zones = Self::zones();
        let known = Known { zones: &zones, now: self.now, ..known(&self.service, &self.members) };
        let (health, actions) = (known.health(), plan(&known));
        let count = |is_one: &dyn Fn(&Member) -> bool| self.members.iter().filter(|member| is_one(member)).count();
        let (healthy, counted) = (count(&|member| health.is_healthy(member)), count(&is_counted));
        let started = actions.iter().map(|action| if let Action::Start { count, .. } = action { *count } else { 0 });
        let started = started.sum::<usize>();
        let stopped = actions.iter().flat_map(|action| match action {
            Action::Stop { tasks, .. } | Action::StopUnhealthy { tasks } => tasks.clone(),
            _ => Vec::new(),
        });
        let stopped = stopped.collect::<Vec<_>>();
        let lost = count(&|member| health.is_healthy(member) && stopped.contains(&member.task.key.id));
        let (desired, policy) = (self.service.desired_count, &self.service.rollout);
        let lower = usize::try_from((desired * policy.minimum_healthy_percent).div_ceil(100)).unwrap();
        let upper = usize::try_from(desired * policy.maximum_percent / 100).unwrap();
        self.log.push(format!("{}: {}", self.now.since(second(NOW_S)).as_secs(), shown(&actions)));
        let is_failed = matches!(self.service.deployments[0].rollout, RolloutState::Failed { .. });
        assert!(started == 0 || counted + started <= upper, "more than {upper} tasks\n{}", self.log.join("\n"));
        assert!(started == 0 || !is_failed, "a failed deployment starts tasks\n{}", self.log.join("\n"));
        assert!(is_failed || healthy - lost >= lower.min(healthy), "fewer than {lower}\n{}", self.log.join("\n"));
        let now = self.now;
        let protected = count(&|member| member.task.is_protected(now) && stopped.contains(&member.task.key.id));
        assert!(protected == 0 || actions.iter().any(|a| matches!(a, Action::StopUnhealthy { .. })), "protected");
        let (mut has_done, mut again) = (false, None::<Timestamp>);
        for action in actions {
            match action {
                Action::LookAgain(at) => again = Some(again.map_or(at, |known| known.min(at))),
                Action::Steady | Action::Report(_) => {}
                other => {
                    has_done = true;
                    self.carry_out(other);
                }
            }
        }
        if has_done { Ok(()) } else { Err(again) }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start { revision, count } => (0..count).for_each(|_| self.start(&revision)),
            Action::Stop { tasks, .. } => self.stop(&tasks, ""),
            Action::StopUnhealthy { tasks } => self.stop(&tasks, "Task failed container health checks"),
            Action::Count { tally, .. } => self.primary().tally = tally,
            Action::Begin { ignored_alarms } => self.primary().ignored_alarms = Some(ignored_alarms),
            Action::GiveUp(_) => self.give_up(),
            Action::Complete => {
                let now = self.now;
                let primary = self.primary();
                (primary.rollout, primary.updated_at, primary.tally.failed) = (RolloutState::Completed, now, 0);
                let revision = primary.revision.clone();
                self.completed.push(revision);
            }
            Action::DropDeployment { revision } => self.service.deployments.retain(|known| known.revision != revision),
            other => panic!("{other:?}"),
        }
    }

    fn give_up(&mut self) {
        let policy = self.service.rollout.circuit_breaker;
        self.primary().rollout = RolloutState::Failed { reason: String::new() };
        let (revision, is_way_back) = {
            let primary = self.primary();
            (primary.revision.clone(), primary.revision.as_str() != primary.service_deployment.as_str())
        };
        let goes_back = policy.is_some_and(|policy| policy.rolls_back) && !is_way_back;
        let back_to = self.completed.iter().rev().find(|known| **known != revision).filter(|_| goes_back).cloned();
        if let Some(back_to) = back_to {
            let id = ServiceDeploymentId::new(revision.as_str());
            let back = Deployment { service_deployment: id, ..self.deployment(back_to.as_str()) };
            self.service.deploy(back);
        }
    }

    fn stop(&mut self, tasks: &[TaskId], reason: &str) {
        let at = self.now;
        for member in self.members.iter_mut().filter(|member| tasks.contains(&member.task.key.id)) {
            let code = StopCode::ServiceSchedulerInitiated;
            let stop = StopRequest { code, reason: reason.to_owned(), at };
            Arc::make_mut(&mut member.task).stop.get_or_insert(stop);
        }
    }

    fn start(&mut self, revision: &ServiceRevisionId) {
        let cluster = Cluster::new(&scope(), ClusterName::default_cluster(), second(0), Vec::new());
        // Some services have health checks.
        let definition = definition(if self.deployments.is_multiple_of(2) { "c" } else { "" });
        let task = samples::start(&cluster, &definition, "service:web").task(&self.ids, &scope(), self.now);
        let zones = Self::zones();
        let live = self.members.iter().filter(|member| is_live(member));
        let taken = live.map(|member| member.zone.clone()).collect::<Vec<_>>();
        let offered = zones.into_iter().map(Some).collect::<Vec<_>>();
        // As likely as not somebody has put it elsewhere.
        let place = if self.dice.one_in(2) { zones::poorest(&offered, &taken)[0] } else { self.dice.index(2) };
        let (revision, zone) = (revision.clone(), offered[place].clone());
        self.members.push(Member { revision, task: Arc::new(task), zone, is_leaving: false });
    }

    /// Lets time pass without further failures until nothing is left to do.
    fn come_to_rest(&mut self) {
        let desired = self.service.desired_count;
        let policy = &mut self.service.rollout;
        let lower = (desired * policy.minimum_healthy_percent).div_ceil(100);
        if lower == desired * policy.maximum_percent / 100 {
            // These leave no way; the service would say so and wait.
            (policy.minimum_healthy_percent, policy.maximum_percent) = (100, 200);
        }
        if matches!(self.primary().rollout, RolloutState::Failed { .. }) {
            // Only another deployment helps.
            self.service.deployments.truncate(1);
            self.update();
        }
        for _ in 0..PLANS_MAX {
            let done = self.step();
            let before = self.members.clone();
            self.progress(false);
            let moves = before.iter().zip(&self.members).any(|(a, b)| !Arc::ptr_eq(&a.task, &b.task));
            let is_moving = moves
                || self.members.iter().any(|member| {
                    let task = &member.task;
                    !matches!(task.last_status, TaskStatus::Running | TaskStatus::Stopped)
                        || (task.last_status == TaskStatus::Running && (task.stop.is_some() || is_unchecked(task)))
                });
            if done.is_ok() || is_moving {
                continue;
            }
            if self.has_all() {
                return;
            }
            let at = done.unwrap_err();
            let at = at.unwrap_or_else(|| panic!("nothing is planned\n{}\n{:?}", self.log.join("\n"), self.shown()));
            self.pass(at.since(self.now));
        }
        panic!("no rest\n{}\n{:?}", self.log.join("\n"), self.shown());
    }

    fn has_all(&self) -> bool {
        let health = Health { service: &self.service, pace: Pace::REAL, now: self.now };
        let live = self.members.iter().filter(|member| is_live(member)).collect::<Vec<_>>();
        let primary = &self.service.deployments[0];
        live.len() == usize::try_from(self.service.desired_count).unwrap()
            && live.iter().all(|member| member.revision == primary.revision && health.is_healthy(member))
            && self.service.deployments.len() == 1
            && primary.rollout == RolloutState::Completed
    }

    fn shown(&self) -> Vec<String> {
        let shown = |member: &Member| {
            let task = &member.task;
            format!("{} {:?} {:?} {:?}", member.revision, task.last_status, task.health(), task.stop)
        };
        self.members.iter().map(shown).collect()
    }
}

/// Whether a task's health check has yet to say something.
fn is_unchecked(task: &Task) -> bool {
    task.containers.iter().any(|container| container.health.is_some()) && task.health() == HealthStatus::Unknown
}

#[test]
fn no_plan_leaves_the_bounds_and_each_service_comes_to_what_it_wants() {
    for seed in 1..=SERVICES {
        let mut life = Life::new(seed);
        life.log.push(format!("seed {seed}"));
        for _ in 0..EVENTS {
            life.happen();
            for _ in 0..life.dice.index(4) {
                let _ = life.step();
                life.progress(true);
            }
        }
        life.come_to_rest();
    }
}
