//! Further processes in containers that run.

use std::time::Duration;

use bytes::Bytes;
use node::{
    ContainerSpec, Exec, ExecInput, ExecOutput, ExecSpec, Runtime, RuntimeErrorKind, SandboxSpec, TerminalSize,
};

use crate::bed::{Bed, WAIT_MAX, processes_that_mention};

crate::tests![
    a_process_in_a_container_writes_and_ends,
    it_is_in_the_containers_world,
    it_has_the_containers_restrictions,
    it_reads_its_input_to_the_end,
    a_signal_that_ends_it_is_128_and_its_number,
    it_is_the_containers_user_unless_another_is_named,
    a_terminal_has_a_size_and_gets_another,
    a_terminal_belongs_to_the_container,
    the_end_of_a_terminals_input_is_a_key,
    a_program_that_is_not_there_is_named_as_runc_names_it,
    an_unknown_user_is_named,
    no_process_starts_in_a_container_that_is_gone,
    dropping_it_ends_it_with_its_session,
    the_end_of_the_container_is_its_end,
    what_it_leaves_in_the_background_does_not_hold_its_end_up,
    a_reader_that_is_slow_gets_everything,
    fifty_at_once_do_not_meet,
    a_restarted_server_starts_processes_in_the_containers_it_finds,
    a_working_directory_on_the_host_is_refused,
];

/// A container that waits to be removed.
async fn idle(bed: &Bed) -> (SandboxSpec, ContainerSpec) {
    idle_with(bed, |_| {}).await
}

async fn idle_with(bed: &Bed, change: impl FnOnce(&mut ContainerSpec)) -> (SandboxSpec, ContainerSpec) {
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &["sleep", "600"]);
    change(&mut spec);
    bed.runtime.start_container(&spec).await.unwrap();
    (sandbox, spec)
}

fn spec(container: &ContainerSpec, args: &[&str]) -> ExecSpec {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    ExecSpec { container: container.id.clone(), args, user: None, terminal: None }
}

fn script(container: &ContainerSpec, script: &str) -> ExecSpec {
    spec(container, &["sh", "-c", script])
}

fn on_terminal(spec: ExecSpec) -> ExecSpec {
    ExecSpec { terminal: Some(TerminalSize { columns: 80, rows: 24 }), ..spec }
}

/// What a process wrote, and its exit code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

async fn next(exec: &mut Exec) -> Option<ExecOutput> {
    tokio::time::timeout(WAIT_MAX, exec.output.recv()).await.expect("the process says something in time")
}

async fn complete(exec: &mut Exec) -> Done {
    let mut done = Done::default();
    while let Some(output) = next(exec).await {
        match output {
            ExecOutput::Stdout(bytes) => done.stdout += &String::from_utf8_lossy(&bytes),
            ExecOutput::Stderr(bytes) => done.stderr += &String::from_utf8_lossy(&bytes),
            ExecOutput::Exited(code) => done.code = Some(code),
        }
    }
    done
}

async fn run(bed: &Bed, spec: &ExecSpec) -> Done {
    complete(&mut bed.runtime.exec(spec).await.unwrap()).await
}

/// Reads until the output so far ends with a text.
async fn wait_for(exec: &mut Exec, text: &str) {
    let mut seen = String::new();
    while !seen.ends_with(text) {
        match next(exec).await {
            Some(ExecOutput::Stdout(bytes)) => seen += &String::from_utf8_lossy(&bytes),
            other => panic!("{seen:?} was followed by {other:?} and not by {text:?}"),
        }
    }
}

async fn send(exec: &Exec, text: &'static str) {
    exec.input.send(ExecInput::Data(Bytes::from_static(text.as_bytes()))).await.unwrap();
}

async fn a_process_in_a_container_writes_and_ends() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let done = run(&bed, &script(&container, "echo out; echo err >&2; exit 3")).await;
    assert_eq!(done, Done { stdout: "out\n".to_owned(), stderr: "err\n".to_owned(), code: Some(3) });
    // Without a shell in between.
    let done = run(&bed, &spec(&container, &["echo", "a b", "c"])).await;
    assert_eq!(done, Done { stdout: "a b c\n".to_owned(), code: Some(0), ..Done::default() });
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn it_is_in_the_containers_world() {
    let bed = Bed::new();
    let (sandbox, container) = idle_with(&bed, |spec| spec.working_dir = "/srv/app".to_owned()).await;
    let ids = "for kind in mnt net ipc uts pid cgroup; do readlink /proc/$1/ns/$kind; done; cat /proc/$1/cgroup";
    let of = |pid: &str| script(&container, &format!("set -- {pid}; {}", ids.replace("readlink", "stat -c %N")));
    let [ours, first] = [run(&bed, &of("self")).await, run(&bed, &of("1")).await];
    let names = |done: &Done| done.stdout.replace("/proc/self/", "/proc/1/").replace("/proc/", "");
    assert_eq!(names(&ours), names(&first));
    let done = run(&bed, &script(&container, "pwd; echo $GREETING; hostname; cat /etc/hostname")).await;
    assert_eq!(done.stdout, "/srv/app\nhello\nip-172-31-0-7\nip-172-31-0-7\n");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn it_has_the_containers_restrictions() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let fields =
        "grep -E '^(CapBnd|CapEff|CapPrm|CapAmb|Seccomp|NoNewPrivs|Uid|Groups)' /proc/$1/status; cat /proc/$1/limits";
    let of = |pid: &str| script(&container, &format!("set -- {pid}; {fields}"));
    let [ours, first] = [run(&bed, &of("self")).await, run(&bed, &of("1")).await];
    assert_eq!(ours, first);
    assert!(ours.stdout.contains("Seccomp:\t2"), "{}", ours.stdout);
    let open = run(&bed, &script(&container, "ls /proc/self/fd | wc -l")).await;
    // The three, and the folder that is listed.
    assert_eq!(open.stdout.trim(), "4");
    let done = run(&bed, &script(&container, "mount -t tmpfs none /tmp")).await;
    assert_ne!(done.code, Some(0));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn it_reads_its_input_to_the_end() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let mut exec = bed.runtime.exec(&spec(&container, &["cat"])).await.unwrap();
    for _ in 0..3 {
        send(&exec, "line\n").await;
    }
    exec.input.send(ExecInput::End).await.unwrap();
    let done = complete(&mut exec).await;
    assert_eq!(done, Done { stdout: "line\n".repeat(3), code: Some(0), ..Done::default() });
    // Dropping the sender is the end too.
    let Exec { input, output } = bed.runtime.exec(&spec(&container, &["cat"])).await.unwrap();
    drop(input);
    let (input, _unread) = tokio::sync::mpsc::channel(1);
    assert_eq!(complete(&mut Exec { input, output }).await.code, Some(0));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_signal_that_ends_it_is_128_and_its_number() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    assert_eq!(run(&bed, &script(&container, "kill -9 $$")).await.code, Some(137));
    assert_eq!(run(&bed, &script(&container, "kill -15 $$")).await.code, Some(143));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn it_is_the_containers_user_unless_another_is_named() {
    let bed = Bed::new();
    let (sandbox, container) = idle_with(&bed, |spec| spec.user = "app".to_owned()).await;
    let who = script(&container, "id -u; id -g; echo $HOME; grep CapEff /proc/self/status");
    assert_eq!(run(&bed, &who).await.stdout, "1000\n1001\n/home/app\nCapEff:\t0000000000000000\n");
    let root = run(&bed, &ExecSpec { user: Some("root".to_owned()), ..who }).await;
    assert!(root.stdout.starts_with("0\n0\n/root\n") && !root.stdout.ends_with("0000000000000000\n"), "{root:?}");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_terminal_has_a_size_and_gets_another() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let show =
        "show() { busybox stty size; }; trap 'show; exit 7' WINCH; show; echo ready; while :; do sleep 0.02; done";
    let mut exec = bed.runtime.exec(&on_terminal(script(&container, show))).await.unwrap();
    wait_for(&mut exec, "24 80\r\nready\r\n").await;
    exec.input.send(ExecInput::Resize(TerminalSize { columns: 132, rows: 43 })).await.unwrap();
    let done = complete(&mut exec).await;
    assert_eq!((done.stdout.as_str(), done.code), ("43 132\r\n", Some(7)));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_terminal_belongs_to_the_container() {
    let bed = Bed::new();
    let (sandbox, container) = idle_with(&bed, |spec| spec.user = "app".to_owned()).await;
    let look = "busybox tty; echo $TERM $LANG; stat -c %U $(busybox tty); echo typed >/dev/tty";
    let done = run(&bed, &on_terminal(script(&container, look))).await;
    assert_eq!(done.stdout, "/dev/pts/0\r\nxterm-256color C.UTF-8\r\napp\r\ntyped\r\n");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn the_end_of_a_terminals_input_is_a_key() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let mut exec = bed.runtime.exec(&on_terminal(spec(&container, &["cat"]))).await.unwrap();
    send(&exec, "hello\r").await;
    wait_for(&mut exec, "hello\r\nhello\r\n").await;
    exec.input.send(ExecInput::End).await.unwrap();
    assert_eq!(complete(&mut exec).await.code, Some(0));
    // Ctrl-C is a key too.
    let mut exec = bed.runtime.exec(&on_terminal(script(&container, "echo ready; sleep 600"))).await.unwrap();
    wait_for(&mut exec, "ready\r\n").await;
    send(&exec, "\u{3}").await;
    assert_eq!(complete(&mut exec).await.code, Some(130));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_program_that_is_not_there_is_named_as_runc_names_it() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    for (program, message) in [
        ("nothing", "exec: \"nothing\": executable file not found in $PATH"),
        ("/bin/nothing", "exec: \"/bin/nothing\": stat /bin/nothing: no such file or directory"),
        ("/etc/plain", "exec: \"/etc/plain\": permission denied"),
    ] {
        let error = bed.runtime.exec(&spec(&container, &[program])).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (RuntimeErrorKind::Start, message));
    }
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn an_unknown_user_is_named() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let spec = ExecSpec { user: Some("nobody".to_owned()), ..spec(&container, &["true"]) };
    let error = bed.runtime.exec(&spec).await.unwrap_err();
    assert_eq!(error.kind, RuntimeErrorKind::Internal);
    assert_eq!(error.message, "unable to find user nobody: no matching entries in passwd file");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn no_process_starts_in_a_container_that_is_gone() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    bed.runtime.signal_container(&container.id, node::Signal::KILL).await.unwrap();
    bed.exit(&container.id).await;
    let refused = |error: node::RuntimeError| (error.kind, error.message);
    let gone = (RuntimeErrorKind::Internal, "the container is not running".to_owned());
    assert_eq!(refused(bed.runtime.exec(&spec(&container, &["true"])).await.unwrap_err()), gone);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert_eq!(refused(bed.runtime.exec(&spec(&container, &["true"])).await.unwrap_err()), gone);
}

/// Waits until no process has a text in its command line.
async fn wait_until_none_mentions(text: &str) {
    let gone = async {
        while !processes_that_mention(text).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, gone).await.expect("a process goes on");
}

async fn dropping_it_ends_it_with_its_session() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let mark = format!("61{}", std::process::id());
    let forks = format!("trap '' HUP TERM INT; sleep {mark} & (trap '' HUP; sleep {mark}) & echo ready; sleep {mark}");
    for spec in [script(&container, &forks), on_terminal(script(&container, &forks))] {
        let mut exec = bed.runtime.exec(&spec).await.unwrap();
        wait_for(&mut exec, if spec.terminal.is_some() { "ready\r\n" } else { "ready\n" }).await;
        assert!(!processes_that_mention(&format!("sleep {mark}")).is_empty());
        drop(exec);
        wait_until_none_mentions(&format!("sleep {mark}")).await;
    }
    wait_until_none_mentions(&format!("exec {}", container.id)).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn the_end_of_the_container_is_its_end() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let mut exec = bed.runtime.exec(&script(&container, "echo ready; sleep 600")).await.unwrap();
    wait_for(&mut exec, "ready\n").await;
    bed.runtime.signal_container(&container.id, node::Signal::KILL).await.unwrap();
    assert_eq!(complete(&mut exec).await.code, Some(137));
    bed.exit(&container.id).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn what_it_leaves_in_the_background_does_not_hold_its_end_up() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let done = run(&bed, &script(&container, "sleep 600 & echo started; exit 4")).await;
    assert_eq!((done.stdout.as_str(), done.code), ("started\n", Some(4)));
    let done = run(&bed, &script(&container, "grep -q 600 /proc/[0-9]*/cmdline && echo there")).await;
    assert_eq!(done.stdout, "there\n", "it goes on, as with `docker exec`");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_reader_that_is_slow_gets_everything() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let lots = script(&container, "dd if=/dev/zero bs=1M count=8 2>/dev/null; echo end >&2");
    let mut exec = bed.runtime.exec(&lots).await.unwrap();
    // What waits for a reader is bounded, so that the process waits too.
    while exec.output.len() < node::EXEC_PIECES_MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let done = complete(&mut exec).await;
    assert_eq!((done.stdout.len(), done.stderr.as_str(), done.code), (8 * 1024 * 1024, "end\n", Some(0)));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn fifty_at_once_do_not_meet() {
    let bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    let all = (0..50).map(|number| {
        let spec = script(&container, &format!("read line; echo $line-{number}; exit {number}"));
        let runtime = std::sync::Arc::clone(&bed.runtime);
        async move {
            let mut exec = runtime.exec(&spec).await.unwrap();
            send(&exec, "in\n").await;
            assert_eq!(complete(&mut exec).await.stdout, format!("in-{number}\n"));
        }
    });
    futures_util::future::join_all(all).await;
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_restarted_server_starts_processes_in_the_containers_it_finds() {
    let mut bed = Bed::new();
    let (sandbox, container) = idle(&bed).await;
    bed.restart();
    assert_eq!(run(&bed, &spec(&container, &["echo", "hi"])).await.stdout, "hi\n");
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_working_directory_on_the_host_is_refused() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    for descriptor in 3..16 {
        // No link of the image's, which would be there before the container: one that the container makes.
        let plant = format!("cd /; rm -rf /srv/app; ln -s /proc/self/fd/{descriptor} /srv/app; echo ready; sleep 600");
        let mut container = bed.script(&sandbox.id, &plant);
        container.working_dir = "/srv/app".to_owned();
        bed.runtime.start_container(&container).await.unwrap();
        bed.wait_for_line(&container.id, "ready").await;
        match bed.runtime.exec(&script(&container, "pwd; ls")).await {
            Err(error) => assert_eq!(error.kind, RuntimeErrorKind::Start, "{error}"),
            Ok(mut exec) => panic!("descriptor {descriptor} leads to {:?}", complete(&mut exec).await),
        }
    }
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
