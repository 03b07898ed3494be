//! What a controller sees of a simulated node.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use base::{EniId, ManualClock, SubnetId, Timestamp, VpcId};

use super::*;
use crate::{
    Attachment, ContainerLimits, ContainerSpec, EniSpec, Event, ExecOutput, ExecSpec, ExitStatus, Isolation,
    MacAddress, NetworkError, PullRequest, RootFileSystem, RuntimeError, RuntimeErrorKind, Signal, SubnetSpec, VpcSpec,
};

/// A simulated node on a clock that stands still.
struct Bench {
    clock: Arc<ManualClock>,
    simulated: Arc<SimulatedNode>,
    node: Node,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let simulated = SimulatedNode::new(clock.clone(), Arc::new(move |event| sink.lock().unwrap().push(event)));
        Self { clock, node: simulated.node(), simulated, events }
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
        self.simulated.fire_due();
    }

    fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    async fn start(&self, script: &str) -> Result<(), RuntimeError> {
        self.node.runtime.create_sandbox(&sandbox_spec(None)).await.unwrap();
        let image = self.node.images.pull(&PullRequest::new("httpd")).await.unwrap();
        let spec = ContainerSpec {
            id: container(),
            sandbox: sandbox(),
            name: "app".to_owned(),
            args: image.config.cmd.clone(),
            root: RootFileSystem { image, is_read_only: false },
            env: vec!["A=b".to_owned(), format!("{SCRIPT_VARIABLE}={script}")],
            working_dir: String::new(),
            user: String::new(),
            limits: ContainerLimits::default(),
            isolation: Isolation::default(),
        };
        self.node.runtime.start_container(&spec).await
    }

    async fn exit(&self) -> Option<ExitStatus> {
        self.node.runtime.container(&container()).await.unwrap().exit
    }
}

fn sandbox() -> TaskId {
    TaskId::new("t1")
}

fn container() -> ContainerId {
    ContainerId::new("t1-c1")
}

fn exited() -> Event {
    Event::Exited { sandbox: sandbox(), container: container() }
}

fn output() -> Event {
    Event::Output { sandbox: sandbox(), container: container() }
}

fn sandbox_spec(network_namespace: Option<PathBuf>) -> SandboxSpec {
    SandboxSpec {
        id: sandbox(),
        cpu_units: None,
        memory_mib: None,
        network_namespace,
        hostname: "h".to_owned(),
        hosts: Vec::new(),
        resolv_conf: Vec::new(),
        shares_pids: false,
        storage_bytes: None,
    }
}

fn eni(id: &str, vpc: &str, last: u8) -> EniSpec {
    let subnet = SubnetSpec { id: SubnetId::new("subnet-1"), base: Ipv4Addr::new(172, 31, 0, 0), prefix_len: 28 };
    EniSpec {
        id: EniId::new(id),
        vpc: VpcSpec { id: VpcId::new(vpc), base: subnet.base, subnets: vec![subnet.clone()] },
        subnet,
        address: Ipv4Addr::new(172, 31, 0, last),
        mac: MacAddress([2, 0, 0, 0, 0, last]),
    }
}

fn why(result: Result<Attachment, NetworkError>) -> String {
    result.unwrap_err().source.to_string()
}

#[tokio::test]
async fn a_container_runs_until_it_is_signalled_and_says_that_it_ended() {
    let bench = Bench::new();
    bench.start("").await.unwrap();
    bench.advance(60_000);
    assert_eq!((bench.exit().await, bench.take_events()), (None, vec![]));
    bench.node.runtime.signal_container(&container(), Signal::TERM).await.unwrap();
    assert_eq!(bench.exit().await.unwrap().code, 143);
    assert_eq!(bench.take_events(), [exited()]);
    bench.node.runtime.signal_container(&container(), Signal::KILL).await.unwrap();
    bench.advance(1);
    assert_eq!(bench.take_events(), [], "an end is told once");
}

#[tokio::test]
async fn an_immediate_exit_is_told_without_anybody_advancing_the_clock() {
    let bench = Bench::new();
    bench.start("output hello; exit 3").await.unwrap();
    assert_eq!(bench.exit().await.unwrap().code, 3);
    assert_eq!(bench.take_events(), [output(), exited()]);
    let page = bench.node.runtime.read_output(&container(), 0, 100).await.unwrap();
    assert_eq!((page.lines[0].bytes.as_slice(), page.next), (b"hello".as_slice(), 6));
}

#[tokio::test]
async fn a_later_end_is_told_when_its_time_has_come() {
    let bench = Bench::new();
    bench.start("output tick after 1s; oom after 2s").await.unwrap();
    assert_eq!(bench.simulated.next_due(), Some(Timestamp::from_millis(1_000)));
    bench.advance(1_000);
    assert_eq!(bench.take_events(), [output()]);
    bench.advance(5_000);
    assert_eq!(bench.take_events(), [exited()]);
    let status = ExitStatus { code: 137, is_oom_killed: true, at: Timestamp::from_millis(2_000) };
    assert_eq!(bench.exit().await, Some(status));
}

#[tokio::test]
async fn an_end_by_signal_takes_the_place_of_the_planned_one() {
    let bench = Bench::new();
    bench.start("output never after 2s; exit 0 after 3s; exit 5 after 1s on TERM").await.unwrap();
    bench.node.runtime.signal_container(&container(), Signal::TERM).await.unwrap();
    bench.advance(10_000);
    assert_eq!(bench.exit().await.unwrap().code, 5);
    assert_eq!(bench.take_events(), [exited()]);
}

#[tokio::test]
async fn a_script_that_makes_no_sense_fails_the_creation_and_is_named() {
    let bench = Bench::new();
    let error = bench.start("explode").await.unwrap_err();
    assert_eq!(error.kind, RuntimeErrorKind::Create);
    assert_eq!(
        error.to_string(),
        "cannot make the container of app: NEARGATE_SIMULATE: no such verb as `explode` in `explode`"
    );
}

#[tokio::test]
async fn a_container_that_cannot_be_made_or_started_leaves_nothing_half_made() {
    let bench = Bench::new();
    for (script, kind) in [("fail create no", RuntimeErrorKind::Create), ("fail start no", RuntimeErrorKind::Start)] {
        let error = bench.start(script).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, "no"));
    }
    bench.simulated.fail_next_start("bad luck");
    assert_eq!(bench.start("").await.unwrap_err().message, "bad luck");
    assert_eq!(bench.simulated.leftovers(), ["sandbox t1"]);
    bench.start("").await.unwrap();
}

#[tokio::test]
async fn a_fate_set_by_name_goes_before_the_script() {
    let bench = Bench::new();
    bench.simulated.set_fate("app", Fate::parse("exit 9").unwrap());
    bench.start("exit 1").await.unwrap();
    assert_eq!(bench.exit().await.unwrap().code, 9);
}

#[tokio::test]
async fn starting_a_container_again_changes_nothing() {
    let bench = Bench::new();
    bench.start("exit 1").await.unwrap();
    bench.advance(1);
    bench.start("").await.unwrap();
    assert_eq!(bench.exit().await.unwrap().at, Timestamp::from_millis(0));
}

fn exec_spec() -> ExecSpec {
    ExecSpec { container: container(), args: vec!["true".to_owned()], user: None, terminal: None }
}

#[tokio::test]
async fn a_process_in_a_container_writes_and_ends_as_the_script_says() {
    let bench = Bench::new();
    bench.start("exec 3 no route after 1s; exec hang after 2s; exit 0 after 3s").await.unwrap();
    let mut exec = bench.node.runtime.exec(&exec_spec()).await.unwrap();
    assert_eq!(exec.output.recv().await, Some(ExecOutput::Exited(0)));
    bench.advance(1_000);
    let mut exec = bench.node.runtime.exec(&exec_spec()).await.unwrap();
    assert_eq!(exec.output.recv().await, Some(ExecOutput::Stdout("no route\n".into())));
    assert_eq!(exec.output.recv().await, Some(ExecOutput::Exited(3)));
    assert_eq!(exec.output.recv().await, None);
    bench.advance(1_000);
    let mut exec = bench.node.runtime.exec(&exec_spec()).await.unwrap();
    assert!(exec.output.try_recv().is_err() && !exec.output.is_closed(), "it hangs");
    bench.advance(1_000);
    assert_eq!(exec.output.recv().await, None, "it went with its container");
    assert_eq!(bench.node.runtime.exec(&exec_spec()).await.unwrap_err().message, "the container does not run");
}

#[tokio::test]
async fn a_restarted_container_ends_again_and_says_so_again() {
    let bench = Bench::new();
    bench.start("exit 7 after 1s").await.unwrap();
    bench.advance(1_000);
    assert_eq!(bench.take_events(), [exited()]);
    let ended_at = bench.exit().await.unwrap().at;
    for _ in 0..2 {
        bench.node.runtime.restart_container(&container(), ended_at).await.unwrap();
    }
    assert_eq!(bench.exit().await, None);
    bench.advance(1_000);
    assert_eq!((bench.exit().await.unwrap().code, bench.take_events()), (7, vec![exited()]));
    bench.node.runtime.restart_container(&container(), ended_at).await.unwrap();
    assert_eq!(bench.exit().await.unwrap().code, 7, "that end was followed by a start already");
    let unknown = ContainerId::new("t9");
    assert!(bench.node.runtime.restart_container(&unknown, ended_at).await.is_err());
}

#[tokio::test]
async fn a_container_needs_a_sandbox_and_a_program() {
    let bench = Bench::new();
    let image = bench.node.images.pull(&PullRequest::new("httpd")).await.unwrap();
    let mut spec = ContainerSpec {
        id: container(),
        sandbox: sandbox(),
        name: "app".to_owned(),
        args: Vec::new(),
        root: RootFileSystem { image, is_read_only: false },
        env: Vec::new(),
        working_dir: String::new(),
        user: String::new(),
        limits: ContainerLimits::default(),
        isolation: Isolation::default(),
    };
    assert_eq!(bench.node.runtime.start_container(&spec).await.unwrap_err().message, "there is no sandbox t1");
    bench.node.runtime.create_sandbox(&sandbox_spec(None)).await.unwrap();
    assert_eq!(bench.node.runtime.start_container(&spec).await.unwrap_err().message, "there is no program to run");
    spec.args.push("/bin/app".to_owned());
    bench.node.runtime.start_container(&spec).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_can_be_signalled_read_and_removed() {
    let Bench { node, .. } = Bench::new();
    node.runtime.signal_container(&container(), Signal::KILL).await.unwrap();
    node.runtime.remove_sandbox(&sandbox()).await.unwrap();
    node.runtime.release_output(&container(), 7).await.unwrap();
    node.network.detach(&sandbox()).await.unwrap();
    assert_eq!(node.runtime.container(&container()).await, None);
    assert_eq!(node.runtime.read_output(&container(), 7, 1).await.unwrap().next, 7);
}

#[tokio::test]
async fn more_output_than_there_is_cannot_be_released() {
    let bench = Bench::new();
    bench.start("output a").await.unwrap();
    bench.node.runtime.release_output(&container(), 2).await.unwrap();
    assert!(bench.node.runtime.release_output(&container(), 3).await.is_err());
}

#[tokio::test]
async fn a_task_leaves_nothing_behind_once_it_is_taken_away() {
    let bench = Bench::new();
    let attachment = bench.node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await.unwrap();
    assert!(!attachment.is_reachable_from_host);
    bench.node.runtime.create_sandbox(&sandbox_spec(Some(attachment.namespace))).await.unwrap();
    bench.start("exit 0 after 1s").await.unwrap();
    assert_eq!(bench.simulated.leftovers(), ["container t1-c1 of t1", "interface eni-1 of t1", "sandbox t1"]);
    assert_eq!(bench.node.runtime.sandboxes().await.unwrap(), [sandbox()]);
    assert_eq!(bench.node.network.sandboxes().await.unwrap(), [sandbox()]);
    bench.node.runtime.remove_sandbox(&sandbox()).await.unwrap();
    bench.node.network.detach(&sandbox()).await.unwrap();
    assert_eq!(bench.simulated.leftovers(), Vec::<String>::new());
    bench.advance(2_000);
    assert_eq!(bench.take_events(), [], "the removed tell nothing");
}

#[tokio::test]
async fn a_sandbox_joins_only_its_own_network_namespace() {
    let bench = Bench::new();
    let error = bench.node.runtime.create_sandbox(&sandbox_spec(Some("elsewhere".into()))).await.unwrap_err();
    assert_eq!(error.message, "elsewhere is not its network namespace");
}

#[tokio::test]
async fn attaching_again_changes_nothing_and_another_interface_is_refused() {
    let Bench { node, .. } = Bench::new();
    let first = node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await.unwrap();
    assert_eq!(node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await.unwrap(), first);
    assert_eq!(why(node.network.attach(&sandbox(), &eni("eni-2", "vpc-1", 6)).await), "it has eni-1 already");
}

#[tokio::test]
async fn an_address_is_given_once_in_a_vpc_and_freely_in_another() {
    let Bench { node, .. } = Bench::new();
    node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await.unwrap();
    let taken = node.network.attach(&TaskId::new("t2"), &eni("eni-2", "vpc-1", 5)).await;
    assert_eq!(why(taken), "t1 has the address 172.31.0.5 in VPC vpc-1");
    node.network.attach(&TaskId::new("t3"), &eni("eni-3", "vpc-2", 5)).await.unwrap();
    node.network.clear().await.unwrap();
    assert_eq!(node.network.sandboxes().await.unwrap(), []);
}

#[tokio::test]
async fn an_address_must_be_one_that_interfaces_get_in_a_subnet_of_the_vpc() {
    let Bench { node, .. } = Bench::new();
    for last in [0, 3, 15, 16] {
        let message = format!("172.31.0.{last} is not an address for interfaces of subnet subnet-1");
        assert_eq!(why(node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", last)).await), message);
    }
    let mut stray = eni("eni-1", "vpc-1", 5);
    stray.vpc.subnets.clear();
    assert_eq!(why(node.network.attach(&sandbox(), &stray).await), "subnet subnet-1 is not one of VPC vpc-1");
    node.network.attach(&TaskId::new("t4"), &eni("eni-4", "vpc-1", 4)).await.unwrap();
    node.network.attach(&TaskId::new("t5"), &eni("eni-5", "vpc-1", 14)).await.unwrap();
}

#[tokio::test]
async fn one_attachment_fails_when_told_to() {
    let bench = Bench::new();
    bench.simulated.fail_next_attach("cable cut");
    assert_eq!(why(bench.node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await), "cable cut");
    bench.node.network.attach(&sandbox(), &eni("eni-1", "vpc-1", 5)).await.unwrap();
}

#[tokio::test]
async fn delays_last_as_long_as_told() {
    let bench = Bench::new();
    bench.simulated.delay_pulls("slow", Duration::from_secs(2)).unwrap();
    let request = PullRequest::new("docker.io/library/slow:latest");
    let mut pull = pin!(bench.node.images.pull(&request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pull.as_mut().poll(&mut cx).is_pending());
    bench.advance(1_999);
    assert!(pull.as_mut().poll(&mut cx).is_pending());
    bench.advance(1);
    assert!(matches!(pull.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));

    bench.simulated.delay_attaches(Duration::from_secs(1));
    let (other, eni) = (TaskId::new("t2"), eni("eni-1", "vpc-1", 5));
    let mut attach = pin!(bench.node.network.attach(&other, &eni));
    assert!(attach.as_mut().poll(&mut cx).is_pending());
    bench.advance(1_000);
    assert!(matches!(attach.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));

    bench.simulated.delay_starts(Duration::from_secs(1));
    let mut start = pin!(bench.start(""));
    assert!(start.as_mut().poll(&mut cx).is_pending());
    bench.advance(1_000);
    assert!(matches!(start.as_mut().poll(&mut cx), Poll::Ready(Ok(()))));
    let state = bench.node.runtime.container(&container()).await.unwrap();
    assert_eq!(state.started_at, Timestamp::from_millis(4_000));
}

#[tokio::test]
async fn a_running_clock_needs_only_the_loop() {
    let bench = Bench::new();
    let simulated = Arc::clone(&bench.simulated);
    let clock = Arc::clone(&bench.clock);
    let mut run = pin!(simulated.run(move |at| clock.reached(at)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut cx).is_pending());
    bench.start("exit 0 after 1s").await.unwrap();
    assert!(run.as_mut().poll(&mut cx).is_pending());
    bench.clock.advance(Duration::from_secs(1));
    assert!(run.as_mut().poll(&mut cx).is_pending());
    assert_eq!(bench.take_events(), [exited()]);
}

#[tokio::test]
async fn every_reference_has_an_image_and_always_the_same() {
    let Bench { node, .. } = Bench::new();
    let image = node.images.pull(&PullRequest::new("httpd")).await.unwrap();
    assert_eq!(node.images.pull(&PullRequest::new("docker.io/library/httpd:latest")).await.unwrap(), image);
    assert_eq!(image.digest.len(), "sha256:".len() + 64);
    assert_ne!(node.images.pull(&PullRequest::new("httpd:2")).await.unwrap().digest, image.digest);
    let pinned = format!("httpd@{}", image.digest);
    assert_eq!(node.images.pull(&PullRequest::new(pinned)).await.unwrap().digest, image.digest);
    let again = Bench::new().node.images.pull(&PullRequest::new("httpd")).await.unwrap();
    assert_eq!(again, image, "on every node");
}

#[tokio::test]
async fn missing_images_are_not_found_until_they_are_loaded() {
    let bench = Bench::new();
    bench.simulated.forget_image("gone").unwrap();
    for name in ["gone", "missing.invalid/app:1"] {
        assert!(
            matches!(bench.node.images.pull(&PullRequest::new(name)).await, Err(ImageError::NotFound { .. })),
            "{name}"
        );
        bench.node.images.load(Path::new("x.tar"), Some(name)).await.unwrap();
        bench.node.images.pull(&PullRequest::new(name)).await.unwrap();
    }
    assert!(matches!(bench.node.images.pull(&PullRequest::new("No")).await, Err(ImageError::InvalidReference { .. })));
}

#[tokio::test]
async fn loaded_images_are_listed_until_they_are_removed() {
    let Bench { node, clock, .. } = Bench::new();
    clock.advance(Duration::from_secs(1));
    let loaded = node.images.load(Path::new("somewhere/httpd.tar.gz"), None).await.unwrap();
    assert_eq!(loaded[0].reference, "docker.io/library/httpd:latest");
    assert_eq!(loaded[0].loaded_at, Timestamp::from_millis(1_000));
    assert_eq!(node.images.list().await.unwrap(), loaded);
    node.images.remove("httpd").await.unwrap();
    assert_eq!(node.images.list().await.unwrap(), []);
    assert!(matches!(node.images.remove("httpd").await, Err(ImageError::NotFound { .. })));
    assert!(node.images.load(Path::new(""), None).await.is_err());
}
