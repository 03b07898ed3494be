//! Who a container's processes are, what they may do, and who is their first one.

use std::fs;
use std::sync::Arc;

use node::{ContainerSpec, Image, Runtime, RuntimeErrorKind, SandboxSpec, Signal, Ulimit};

use crate::bed::{Bed, network_namespace, path_of, set_script};

crate::tests![
    capabilities_are_added_and_dropped,
    ulimits_are_set_as_far_as_the_host_allows,
    a_low_limit_does_not_hinder_the_start,
    kernel_parameters_are_the_containers_own,
    parameters_of_a_network_are_the_sandboxes,
    a_parameter_that_the_kernel_refuses_is_a_create_error,
    a_parameter_of_the_host_is_a_create_error,
    numbers_need_no_account_files,
    an_unknown_group_is_a_create_error,
    an_init_reaps_and_is_not_the_program,
    an_init_forwards_signals_and_ends_as_the_program,
    an_init_whose_program_is_missing_is_a_start_error,
    an_init_works_for_any_user,
    containers_of_a_sandbox_share_processes,
    a_container_that_shares_processes_takes_its_own_with_it,
    a_shared_namespace_outlives_the_server,
    a_namespace_that_was_killed_is_made_anew,
    a_real_time_signal_ends_with_its_number,
];

/// The bit of a capability in the masks of /proc.
const PTRACE: u64 = 1 << 19;

async fn run(bed: &Bed, script: &str, change: impl FnOnce(&mut ContainerSpec)) -> (i32, Vec<String>) {
    let done = bed.complete(bed.sandbox_spec(), |spec| {
        set_script(spec, script);
        change(spec);
    });
    let (exit, lines) = done.await;
    (exit.code, lines)
}

async fn refusal(bed: &Bed, change: impl FnOnce(&mut ContainerSpec)) -> (RuntimeErrorKind, String) {
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &["true"]);
    change(&mut spec);
    let error = bed.runtime.start_container(&spec).await.unwrap_err();
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    (error.kind, error.message)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn capabilities_are_added_and_dropped() {
    const DEFAULTS: u64 = 0xa804_25fb;
    let bed = Bed::new();
    for (added, dropped, expected) in [
        (&["SYS_PTRACE"][..], &[][..], DEFAULTS | PTRACE),
        (&[], &["NET_RAW", "CAP_CHOWN"], DEFAULTS & !(1 << 13 | 1)),
        (&[], &["ALL"], 0),
        (&["CAP_SYS_PTRACE"], &["ALL"], PTRACE),
    ] {
        let (_, lines) = run(&bed, "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status", |spec| {
            spec.isolation.capabilities_added = owned(added);
            spec.isolation.capabilities_dropped = owned(dropped);
        })
        .await;
        let masks = lines.iter().map(|line| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap());
        assert_eq!(masks.collect::<Vec<_>>(), [expected; 3], "{added:?} {dropped:?}");
    }
    let error = refusal(&bed, |spec| spec.isolation.capabilities_added = owned(&["FLY"])).await;
    assert_eq!(error, (RuntimeErrorKind::Create, "invalid capability: \"FLY\"".to_owned()));
}

fn ulimit(name: &str, soft: Option<u64>, hard: Option<u64>) -> Ulimit {
    Ulimit { name: name.to_owned(), soft, hard }
}

async fn ulimits_are_set_as_far_as_the_host_allows() {
    let bed = Bed::new();
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -St";
    let (_, lines) = run(&bed, script, |spec| {
        spec.isolation.ulimits = vec![
            ulimit("nofile", Some(100), Some(200)),
            ulimit("core", Some(0), Some(0)),
            ulimit("cpu", Some(77), None),
        ];
    })
    .await;
    assert_eq!(lines, ["100", "200", "0", "0", "77"]);
    let (_, lines) = run(&bed, script, |spec| spec.isolation.ulimits = vec![ulimit("nofile", None, None)]).await;
    let limits = lines[..2].iter().map(|line| line.parse::<u64>().unwrap()).collect::<Vec<_>>();
    assert!(limits[0] == limits[1] && limits[0] > 1_000, "{limits:?}");
}

async fn a_low_limit_does_not_hinder_the_start() {
    let bed = Bed::new();
    let (code, lines) = run(&bed, "ulimit -n; ulimit -f; exit 4", |spec| {
        spec.isolation.has_init = true;
        spec.isolation.ulimits = vec![ulimit("nofile", Some(4), Some(4)), ulimit("fsize", Some(0), Some(0))];
    })
    .await;
    assert_eq!((code, lines), (4, owned(&["4", "0"])));
}

async fn kernel_parameters_are_the_containers_own() {
    let bed = Bed::new();
    let before = fs::read_to_string("/proc/sys/kernel/shmmni").unwrap();
    let script = "cd /proc/sys; cat net/core/somaxconn net/ipv4/ip_unprivileged_port_start kernel/shmmni \
                  fs/mqueue/msg_max; echo 1 2>/dev/null > kernel/shmmni || echo refused";
    let (_, lines) = run(&bed, script, |spec| {
        spec.isolation.sysctls = [
            ("net.core.somaxconn", "77"),
            ("net.ipv4.ip_unprivileged_port_start", "80"),
            ("kernel.shmmni", "123"),
            ("fs.mqueue.msg_max", "9"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    })
    .await;
    assert_eq!(lines, ["77", "80", "123", "9", "refused"]);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), before);
}

async fn parameters_of_a_network_are_the_sandboxes() {
    let bed = Bed::new();
    let host = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let namespace = network_namespace();
    let mut sandbox = bed.sandbox_spec();
    sandbox.network_namespace = Some(path_of(&namespace));
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut first = bed.container(&sandbox.id, &["true"]);
    first.isolation.sysctls = vec![("net.core.somaxconn".to_owned(), "77".to_owned())];
    bed.runtime.start_container(&first).await.unwrap();
    let second = bed.script(&sandbox.id, "cat /proc/sys/net/core/somaxconn");
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["77"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap(), host);
}

async fn a_parameter_that_the_kernel_refuses_is_a_create_error() {
    let bed = Bed::new();
    let wrong = vec![("net.core.nope".to_owned(), "1".to_owned())];
    let error = refusal(&bed, |spec| spec.isolation.sysctls = wrong).await;
    let message =
        "write sysctl key net.core.nope: open /proc/sys/net/core/nope: No such file or directory (os error 2)";
    assert_eq!(error, (RuntimeErrorKind::Create, message.to_owned()));
}

async fn a_parameter_of_the_host_is_a_create_error() {
    let bed = Bed::new();
    for name in ["kernel.core_pattern", "vm.overcommit_memory", "net../../kernel.sysrq"] {
        let error = refusal(&bed, |spec| spec.isolation.sysctls = vec![(name.to_owned(), "1".to_owned())]).await;
        assert_eq!(error.1, format!("sysctl {name:?} is not in a separate kernel namespace"));
        assert_eq!(error.0, RuntimeErrorKind::Create);
    }
}

/// Returns the bed's image without account files.
fn bare(bed: &Bed, folder: &std::path::Path) -> Arc<Image> {
    fs::create_dir(folder.join("bin")).unwrap();
    fs::copy("/bin/busybox", folder.join("bin/sh")).unwrap();
    Arc::new(Image { layers: vec![folder.to_owned()], ..(*bed.image).clone() })
}

async fn numbers_need_no_account_files() {
    let bed = Bed::new();
    let folder = tempfile::tempdir().unwrap();
    let image = bare(&bed, folder.path());
    for (user, ids) in [("", "0 0 /"), ("1234", "1234 0 /"), ("1234:5678", "1234 5678 /")] {
        let script = "while read -r name first rest; do
                          case $name in Uid:) uid=$first;; Gid:) gid=$first;; esac
                      done < /proc/self/status; echo $uid $gid $HOME";
        let (_, lines) = run(&bed, script, |spec| {
            spec.root.image = Arc::clone(&image);
            spec.user = user.to_owned();
        })
        .await;
        assert_eq!(lines, [ids], "{user}");
    }
    let error = refusal(&bed, |spec| {
        spec.root.image = image;
        spec.user = "app".to_owned();
    })
    .await;
    assert_eq!(error.1, "unable to find user app: no matching entries in passwd file");
}

async fn an_unknown_group_is_a_create_error() {
    let bed = Bed::new();
    let error = refusal(&bed, |spec| spec.user = "app:nobody".to_owned()).await;
    let message = "unable to find group nobody: no matching entries in group file".to_owned();
    assert_eq!(error, (RuntimeErrorKind::Create, message));
    let (_, lines) = run(&bed, "id -u; id -g; id -G", |spec| spec.user = "app:web".to_owned()).await;
    assert_eq!(lines, ["1000", "33", "33"]);
}

async fn an_init_reaps_and_is_not_the_program() {
    let bed = Bed::new();
    let script = "tr '\\0' '\\n' < /proc/1/cmdline; cat /proc/1/comm; [ $$ = 1 ] || echo child
                  sh -c 'sleep 0.01 & exit'; until [ $(ps -o comm | grep -c '^sleep') = 0 ]; do :; done
                  ps -o stat | grep -c '^Z'; exit 3";
    let (code, lines) = run(&bed, script, |spec| spec.isolation.has_init = true).await;
    assert_eq!((code, lines), (3, owned(&["/dev/init", "init", "child", "0"])));
}

async fn an_init_forwards_signals_and_ends_as_the_program() {
    let bed = Bed::new();
    for (number, script, code) in [
        (15, "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done", 7),
        (15, "echo ready; exec sleep 600", 143),
        (37, "echo ready; exec sleep 600", 165),
        (9, "echo ready; exec sleep 600", 137),
    ] {
        let sandbox = bed.sandbox().await;
        let mut spec = bed.script(&sandbox.id, script);
        spec.isolation.has_init = true;
        bed.runtime.start_container(&spec).await.unwrap();
        bed.wait_for_line(&spec.id, "ready").await;
        bed.runtime.signal_container(&spec.id, Signal(number)).await.unwrap();
        assert_eq!(bed.exit(&spec.id).await.code, code, "{number}");
        bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
}

async fn an_init_whose_program_is_missing_is_a_start_error() {
    let bed = Bed::new();
    let error = refusal(&bed, |spec| {
        spec.isolation.has_init = true;
        spec.args = owned(&["nope"]);
    })
    .await;
    let message = "exec: \"nope\": executable file not found in $PATH".to_owned();
    assert_eq!(error, (RuntimeErrorKind::Start, message));
}

async fn an_init_works_for_any_user() {
    let bed = Bed::new();
    let (code, lines) = run(&bed, "id -u; kill -USR1 $$; echo alive", |spec| {
        spec.isolation.has_init = true;
        spec.user = "app".to_owned();
    })
    .await;
    assert_eq!((code, lines), (138, owned(&["1000"])));
}

fn sharing(bed: &Bed) -> SandboxSpec {
    SandboxSpec { shares_pids: true, ..bed.sandbox_spec() }
}

async fn containers_of_a_sandbox_share_processes() {
    let bed = Bed::new();
    let sandbox = sharing(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut first = bed.script(&sandbox.id, "trap 'echo asked; exit 6' USR1; echo ready; while :; do sleep 0.05; done");
    first.name = "first".to_owned();
    bed.runtime.start_container(&first).await.unwrap();
    bed.wait_for_line(&first.id, "ready").await;
    let script = "tr '\\0' '\\n' < /proc/1/cmdline; [ $$ = 1 ] || echo other
                  ls /proc/1/root/ 2>/dev/null || echo closed
                  for at in /proc/[0-9]*; do grep -q trap $at/cmdline && kill -USR1 ${at#/proc/} 2>/dev/null; done; exit 0";
    let second = bed.script(&sandbox.id, script);
    // The second one finds itself too, which is why it ignores what it sends.
    let second = ContainerSpec { args: owned(&["sh", "-c", &format!("trap '' USR1; {script}")]), ..second };
    bed.runtime.start_container(&second).await.unwrap();
    assert_eq!(bed.exit(&first.id).await.code, 6);
    assert_eq!(bed.exit(&second.id).await.code, 0);
    let lines = bed.texts(&second.id).await;
    assert_eq!(&lines[..2], ["/pause", "other"]);
    assert!(!lines.iter().any(|line| line.contains("home")), "the host is seen: {lines:?}");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_that_shares_processes_takes_its_own_with_it() {
    let bed = Bed::new();
    let sandbox = sharing(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let spec = bed.script(&sandbox.id, "sleep 601 & (sleep 602 &); exit 5");
    bed.runtime.start_container(&spec).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 5);
    let script = "ps -o comm | grep -c '^sleep'; ps -o stat | grep -c '^Z'";
    let other = ContainerSpec { id: bed.script(&sandbox.id, "").id, ..bed.script(&sandbox.id, script) };
    bed.runtime.start_container(&other).await.unwrap();
    bed.exit(&other.id).await;
    assert_eq!(bed.texts(&other.id).await, ["0", "0"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

const NAMESPACE: &str = "readlink /proc/self/ns/pid";

async fn namespace(bed: &Bed, sandbox: &SandboxSpec) -> String {
    let spec = bed.script(&sandbox.id, NAMESPACE);
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    bed.texts(&spec.id).await.remove(0)
}

async fn a_shared_namespace_outlives_the_server() {
    let mut bed = Bed::new();
    let sandbox = sharing(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let before = namespace(&bed, &sandbox).await;
    bed.restart();
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    assert_eq!(namespace(&bed, &sandbox).await, before);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_namespace_that_was_killed_is_made_anew() {
    let bed = Bed::new();
    let sandbox = sharing(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let spec = bed.script(&sandbox.id, "echo ready; sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    let holder = bed.cgroup("memory", &sandbox.id).join(format!("{}-pause", sandbox.id)).join("cgroup.procs");
    let pid = fs::read_to_string(holder).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 137);
    assert!(namespace(&bed, &sandbox).await.starts_with("pid:["));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_real_time_signal_ends_with_its_number() {
    let bed = Bed::new();
    let sandbox = sharing(&bed);
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let spec = bed.script(&sandbox.id, "echo ready; exec sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    bed.runtime.signal_container(&spec.id, Signal::parse("SIGRTMIN+3").unwrap()).await.unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 128 + 37);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
