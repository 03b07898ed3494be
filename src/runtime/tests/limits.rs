//! Limits, and what a container may not do.

use std::fs;

use node::{ContainerLimits, Runtime};

use crate::bed::{Bed, set_script};

crate::tests![
    a_process_over_its_memory_limit_is_oom_killed,
    a_task_over_its_memory_limit_is_oom_killed,
    limits_are_in_the_cgroup_files,
    a_container_sees_its_own_memory_limit,
    the_shim_is_not_in_the_containers_cgroup,
    open_files_are_limited_as_on_fargate_or_as_the_host_allows,
    capabilities_are_dockers_default_ones,
    forbidden_system_calls_fail,
    disks_cannot_be_opened_through_device_files_of_ones_own,
];

const ALLOCATE_200_MIB: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";

async fn a_process_over_its_memory_limit_is_oom_killed() {
    let bed = Bed::new();
    let (exit, _) = bed
        .complete(bed.sandbox_spec(), |spec| {
            set_script(spec, &format!("exec {ALLOCATE_200_MIB}"));
            spec.limits.memory_mib = Some(64);
        })
        .await;
    assert_eq!((exit.code, exit.is_oom_killed), (137, true));
}

async fn a_task_over_its_memory_limit_is_oom_killed() {
    let bed = Bed::new();
    let mut sandbox = bed.sandbox_spec();
    sandbox.memory_mib = Some(64);
    let (exit, _) = bed.complete(sandbox, |spec| set_script(spec, &format!("exec {ALLOCATE_200_MIB}"))).await;
    assert_eq!((exit.code, exit.is_oom_killed), (137, true));
}

async fn limits_are_in_the_cgroup_files() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &["sleep", "600"]);
    spec.limits = ContainerLimits {
        cpu_units: 1,
        memory_mib: Some(100),
        memory_reservation_mib: Some(50),
        output_buffer_bytes: None,
    };
    bed.runtime.start_container(&spec).await.unwrap();
    let read = |controller: &str, below: &str, v1: &str, v2: &str| {
        let folder = bed.cgroup(controller, &sandbox.id).join(below);
        fs::read_to_string(folder.join(v1)).or_else(|_| fs::read_to_string(folder.join(v2))).unwrap().trim().to_owned()
    };
    let container = spec.id.as_str();
    assert_eq!(read("memory", "", "memory.limit_in_bytes", "memory.max"), "536870912");
    assert_eq!(read("memory", container, "memory.limit_in_bytes", "memory.max"), "104857600");
    assert_eq!(read("memory", container, "memory.soft_limit_in_bytes", "memory.low"), "52428800");
    assert!(["2", "1"].contains(&read("cpu", container, "cpu.shares", "cpu.weight").as_str()));
    assert!(["100000", "100000 100000"].contains(&read("cpu", "", "cpu.cfs_quota_us", "cpu.max").as_str()));
    assert_eq!(read("pids", "", "pids.max", "pids.max"), "16384");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_sees_its_own_memory_limit() {
    let bed = Bed::new();
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.limits.memory_mib = Some(64);
            set_script(
                spec,
                "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;
                 echo x 2>/dev/null > /sys/fs/cgroup/x || echo read-only; grep -c ' cgroup2* ' /proc/mounts",
            );
        })
        .await;
    assert_eq!(&lines[..2], ["67108864", "read-only"]);
}

async fn the_shim_is_not_in_the_containers_cgroup() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.container(&sandbox.id, &["sleep", "600"]);
    bed.runtime.start_container(&spec).await.unwrap();
    let listed = fs::read_to_string(bed.cgroup("memory", &sandbox.id).join(spec.id.as_str()).join("cgroup.procs"));
    let listed = listed.unwrap();
    let commands = listed.lines().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap());
    assert_eq!(commands.collect::<Vec<_>>(), ["sleep\x00600\x00"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn open_files_are_limited_as_on_fargate_or_as_the_host_allows() {
    let bed = Bed::new();
    let (_, lines) = bed.run("ulimit -Sn; ulimit -Hn").await;
    let host = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let limits = lines.iter().map(|line| line.parse::<u64>().unwrap()).collect::<Vec<_>>();
    assert!(limits == [65_535; 2] || limits == [host.min(65_535); 2], "{limits:?}");
}

async fn capabilities_are_dockers_default_ones() {
    let bed = Bed::new();
    let (_, lines) = bed.run("grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status").await;
    let words = lines.iter().map(|line| line.split_whitespace().last().unwrap()).collect::<Vec<_>>();
    let (none, all) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(words, [none, all, all, all, none, "0", "2"]);
}

async fn forbidden_system_calls_fail() {
    let bed = Bed::new();
    let (exit, lines) = bed.run("mount -t tmpfs none /tmp 2>&1; echo $?").await;
    assert_eq!((exit.code, lines.last().map(String::as_str)), (0, Some("1")));
}

async fn disks_cannot_be_opened_through_device_files_of_ones_own() {
    let bed = Bed::new();
    let (_, lines) = bed.run("mknod /tmp/disk b 7 0; dd if=/tmp/disk of=/dev/null count=1 2>&1; echo $?").await;
    assert_eq!(lines.last().map(String::as_str), Some("1"), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("ermitted") || line.contains("No such file")), "{lines:?}");
}
