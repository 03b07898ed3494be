//! How containers start, or fail to.

use std::path::PathBuf;
use std::sync::Arc;

use node::{ContainerSpec, Image, RootFileSystem, Runtime, RuntimeErrorKind};

use crate::bed::{Bed, network_namespace, path_of, set_script};

crate::tests![
    a_container_has_its_environment_and_home,
    host_name_and_files_are_the_sandboxes,
    a_missing_program_is_a_start_error,
    a_file_that_is_no_program_is_a_start_error,
    an_unknown_user_is_a_create_error,
    a_named_user_has_the_images_ids_and_groups,
    a_missing_working_directory_is_made,
    a_read_only_root_cannot_be_written,
    writes_stay_in_the_container,
    the_upper_layer_wins,
    many_layers_fit,
    a_missing_layer_is_a_create_error,
    starting_twice_starts_once,
    starting_at_the_same_time_starts_once,
    a_container_without_sandbox_is_refused,
    two_containers_share_a_network_namespace,
    without_a_network_there_is_loopback,
    fifty_containers_at_once_all_succeed,
    mounts_of_containers_are_not_seen_by_the_host,
];

async fn a_container_has_its_environment_and_home() {
    let bed = Bed::new();
    let (_, lines) = bed.run("echo $GREETING $HOME $PATH $$; pwd").await;
    assert_eq!(lines, ["hello /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin 1", "/"]);
}

async fn host_name_and_files_are_the_sandboxes() {
    let bed = Bed::new();
    let (_, lines) = bed.run("hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf").await;
    let (name, hosts) = ("ip-172-31-0-7", ["127.0.0.1 localhost", "172.31.0.7 box.internal"]);
    assert_eq!(lines, [name, name, hosts[0], hosts[1], "nameserver 172.31.0.2"]);
}

/// Starts a container that must fail, and asserts that nothing of it is left.
async fn failure(change: impl FnOnce(&mut ContainerSpec)) -> (RuntimeErrorKind, String) {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &["true"]);
    change(&mut spec);
    let error = bed.runtime.start_container(&spec).await.unwrap_err();
    assert_eq!(bed.runtime.container(&spec.id).await, None);
    assert!(!bed.cgroup("memory", &sandbox.id).join(spec.id.as_str()).exists());
    assert!(!bed.run_dir().join(sandbox.id.as_str()).join("containers").join(spec.id.as_str()).exists());
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    (error.kind, error.message)
}

async fn a_missing_program_is_a_start_error() {
    let error = failure(|spec| spec.args = vec!["nope".to_owned()]).await;
    let message = "exec: \"nope\": executable file not found in $PATH";
    assert_eq!(error, (RuntimeErrorKind::Start, message.to_owned()));
    let error = failure(|spec| spec.args = vec!["/bin/nope".to_owned()]).await;
    let message = "exec: \"/bin/nope\": stat /bin/nope: no such file or directory";
    assert_eq!(error, (RuntimeErrorKind::Start, message.to_owned()));
}

async fn a_file_that_is_no_program_is_a_start_error() {
    let error = failure(|spec| spec.args = vec!["/etc/plain".to_owned()]).await;
    assert_eq!(error, (RuntimeErrorKind::Start, "exec: \"/etc/plain\": permission denied".to_owned()));
}

async fn an_unknown_user_is_a_create_error() {
    let error = failure(|spec| spec.user = "nobody".to_owned()).await;
    let message = "unable to find user nobody: no matching entries in passwd file";
    assert_eq!(error, (RuntimeErrorKind::Create, message.to_owned()));
}

async fn a_named_user_has_the_images_ids_and_groups() {
    let bed = Bed::new();
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.user = "app".to_owned();
            set_script(spec, "id -u; id -g; id -G; echo $HOME");
        })
        .await;
    assert_eq!(lines, ["1000", "1001", "1001 33", "/home/app"]);
}

async fn a_missing_working_directory_is_made() {
    let bed = Bed::new();
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.working_dir = "/srv/new/app".to_owned();
            set_script(spec, "pwd");
        })
        .await;
    assert_eq!(lines, ["/srv/new/app"]);
}

async fn a_read_only_root_cannot_be_written() {
    let bed = Bed::new();
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.root.is_read_only = true;
            set_script(spec, "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm");
        })
        .await;
    assert_eq!(lines, ["refused", "shm"]);
}

async fn writes_stay_in_the_container() {
    let bed = Bed::new();
    assert_eq!(bed.run("echo mine > /tmp/x; cat /tmp/x").await.1, ["mine"]);
    assert_eq!(bed.run("cat /tmp/x 2>/dev/null || echo clean").await.1, ["clean"]);
    assert!(!bed.image.layers[0].join("tmp/x").exists());
}

async fn the_upper_layer_wins() {
    let bed = Bed::new();
    let upper = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(upper.path().join("etc")).unwrap();
    std::fs::write(upper.path().join("etc/plain"), "upper\n").unwrap();
    let layers = vec![upper.path().to_owned(), bed.image.layers[0].clone()];
    let image = Arc::new(Image { layers, ..(*bed.image).clone() });
    let (_, lines) = bed
        .complete(bed.sandbox_spec(), |spec| {
            spec.root = RootFileSystem { image, is_read_only: false };
            set_script(spec, "cat /etc/plain");
        })
        .await;
    assert_eq!(lines, ["upper"]);
}

async fn many_layers_fit() {
    const LAYERS: usize = 127;
    let bed = Bed::new();
    let folder = tempfile::tempdir().unwrap();
    let mut layers = (1..LAYERS).map(|number| folder.path().join(format!("{number:0>64}"))).collect::<Vec<_>>();
    for layer in &layers {
        std::fs::create_dir(layer).unwrap();
    }
    layers.push(bed.image.layers[0].clone());
    let image = Arc::new(Image { layers, ..(*bed.image).clone() });
    let (exit, _) =
        bed.complete(bed.sandbox_spec(), |spec| spec.root = RootFileSystem { image, is_read_only: false }).await;
    assert_eq!(exit.code, 0);
}

async fn a_missing_layer_is_a_create_error() {
    let (kind, message) = failure(|spec| {
        let image = Image { layers: vec![PathBuf::from("/nowhere/layer")], ..(*spec.root.image).clone() };
        spec.root.image = Arc::new(image);
    })
    .await;
    assert_eq!(kind, RuntimeErrorKind::Create);
    assert!(message.contains("/nowhere/layer"), "{message}");
}

async fn starting_twice_starts_once() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo once");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    bed.runtime.start_container(&spec).await.unwrap();
    assert_eq!(bed.texts(&spec.id).await, ["once"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn starting_at_the_same_time_starts_once() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let spec = bed.script(&sandbox.id, "echo once; exit 3");
    let (first, second) = tokio::join!(bed.runtime.start_container(&spec), bed.runtime.start_container(&spec));
    first.and(second).unwrap();
    assert_eq!(bed.exit(&spec.id).await.code, 3);
    assert_eq!(bed.texts(&spec.id).await, ["once"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_container_without_sandbox_is_refused() {
    let bed = Bed::new();
    let spec = bed.container(&bed.sandbox_spec().id, &["true"]);
    assert_eq!(bed.runtime.start_container(&spec).await.unwrap_err().kind, RuntimeErrorKind::Internal);
}

async fn two_containers_share_a_network_namespace() {
    let bed = Bed::new();
    let namespace = network_namespace();
    let mut sandbox = bed.sandbox_spec();
    sandbox.network_namespace = Some(path_of(&namespace));
    bed.runtime.create_sandbox(&sandbox).await.unwrap();
    let mut names = Vec::new();
    for _ in 0..2 {
        let spec = bed.script(&sandbox.id, "ls -l /proc/self/ns/net | grep -o 'net:.*'");
        bed.runtime.start_container(&spec).await.unwrap();
        bed.exit(&spec.id).await;
        names.extend(bed.texts(&spec.id).await);
    }
    let inode = std::os::unix::fs::MetadataExt::ino(&namespace.metadata().unwrap());
    assert_eq!(names, [format!("net:[{inode}]"), format!("net:[{inode}]")]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn without_a_network_there_is_loopback() {
    let bed = Bed::new();
    let (_, lines) = bed.run("grep -cw 127.0.0.1 /proc/net/fib_trie; grep -c : /proc/net/dev").await;
    assert!(lines[0] != "0" && lines[1] == "1", "{lines:?}");
}

async fn fifty_containers_at_once_all_succeed() {
    let bed = Arc::new(Bed::new());
    let all = (0..50).map(|number| {
        let bed = Arc::clone(&bed);
        tokio::spawn(async move { bed.run(&format!("echo {number}; exit {number}")).await })
    });
    for (number, done) in all.collect::<Vec<_>>().into_iter().enumerate() {
        let (exit, lines) = done.await.unwrap();
        assert_eq!((exit.code.to_string(), lines), (number.to_string(), vec![number.to_string()]));
    }
}

async fn mounts_of_containers_are_not_seen_by_the_host() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let spec = bed.script(&sandbox.id, "echo ready; sleep 600");
    bed.runtime.start_container(&spec).await.unwrap();
    bed.wait_for_line(&spec.id, "ready").await;
    assert!(!before.is_empty());
    let run_dir = bed.run_dir().display().to_string();
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&run_dir));
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}
