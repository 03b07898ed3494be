//! What is mounted in containers.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node::{ContainerSpec, DirectoryOwner, Image, Mount, MountSource, Runtime, RuntimeErrorKind, Tmpfs};
use rustix::fs::XattrFlags;

use crate::bed::{Bed, set_script};

crate::tests![
    a_volume_is_shared_by_the_containers_of_a_sandbox,
    an_empty_volume_takes_what_the_image_has,
    a_volume_with_content_takes_nothing,
    a_volume_of_which_the_image_says_nothing_is_roots,
    a_read_only_mount_cannot_be_written,
    a_folder_of_the_host_is_made_and_outlives_the_sandbox,
    files_written_through_a_squashed_folder_are_anothers,
    a_link_in_a_folder_of_the_host_does_not_lead_out,
    mounts_inside_others_come_after_them,
    a_destination_behind_a_link_stays_in_the_image,
    places_that_cannot_be_mounted_are_create_errors,
    a_volume_on_a_file_is_a_create_error,
    a_volume_that_is_named_like_a_path_is_a_create_error,
    a_file_system_in_memory_has_its_size_and_options,
    shared_memory_can_be_made_larger,
    a_read_only_root_has_writable_mounts,
    a_working_directory_may_be_in_a_volume,
];

pub(crate) fn volume(name: &str, destination: &str) -> Mount {
    let source = MountSource::Volume { name: name.to_owned(), size_bytes: None };
    Mount { source, destination: PathBuf::from(destination), is_read_only: false }
}

fn directory(path: &Path, below: &str, destination: &str) -> Mount {
    let source =
        MountSource::Directory { path: path.to_owned(), below: PathBuf::from(below), owner: None, squash: None };
    Mount { source, destination: PathBuf::from(destination), is_read_only: false }
}

fn tmpfs(destination: &str, size_mib: u64, options: &[&str]) -> Tmpfs {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Tmpfs { destination: PathBuf::from(destination), size_mib, options }
}

/// Runs one container to its end, and returns what it wrote.
async fn output(bed: &Bed, change: impl FnOnce(&mut ContainerSpec)) -> Vec<String> {
    bed.complete(bed.sandbox_spec(), change).await.1
}

/// Starts a container that must fail to be made, and returns why.
async fn refusal(bed: &Bed, change: impl FnOnce(&mut ContainerSpec)) -> String {
    let sandbox = bed.sandbox().await;
    let mut spec = bed.container(&sandbox.id, &["true"]);
    change(&mut spec);
    let error = bed.runtime.start_container(&spec).await.unwrap_err();
    assert_eq!(error.kind, RuntimeErrorKind::Create);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    error.message
}

async fn a_volume_is_shared_by_the_containers_of_a_sandbox() {
    let bed = Bed::new();
    let sandbox = bed.sandbox().await;
    let mut writer = bed.script(&sandbox.id, "echo text > /data/x; mkdir /data/below");
    writer.isolation.mounts = vec![volume("shared", "/data")];
    bed.runtime.start_container(&writer).await.unwrap();
    assert_eq!(bed.exit(&writer.id).await.code, 0);
    let mut reader = bed.script(&sandbox.id, "cat /srv/seen/x; ls /srv/seen");
    reader.isolation.mounts = vec![volume("shared", "/srv/seen"), volume("other", "/other")];
    bed.runtime.start_container(&reader).await.unwrap();
    bed.exit(&reader.id).await;
    assert_eq!(bed.texts(&reader.id).await, ["text", "below", "x"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

/// Returns the bed's image under a layer that has something at /seed.
fn seeded(bed: &Bed, folder: &Path) -> Arc<Image> {
    let seed = folder.join("seed");
    fs::create_dir_all(seed.join("below")).unwrap();
    fs::write(seed.join("below/file"), "seed\n").unwrap();
    symlink("below/file", seed.join("link")).unwrap();
    rustix::fs::setxattr(seed.join("below/file"), "user.colour", b"red", XattrFlags::empty()).unwrap();
    chown(seed.join("below/file"), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(seed.join("below/file"), PermissionsExt::from_mode(0o4710)).unwrap();
    chown(&seed, Some(1000), Some(1001)).unwrap();
    fs::set_permissions(&seed, PermissionsExt::from_mode(0o2770)).unwrap();
    Arc::new(Image { layers: vec![folder.to_owned(), bed.image.layers[0].clone()], ..(*bed.image).clone() })
}

async fn an_empty_volume_takes_what_the_image_has() {
    let bed = Bed::new();
    let folder = tempfile::tempdir().unwrap();
    let image = seeded(&bed, folder.path());
    let sandbox = bed.sandbox().await;
    let mut spec =
        bed.script(&sandbox.id, "cd /seed; stat -c '%a %u %g %n' . below/file; cat link; echo more > below/more");
    spec.root.image = image;
    spec.isolation.mounts = vec![volume("seed", "/seed")];
    bed.runtime.start_container(&spec).await.unwrap();
    bed.exit(&spec.id).await;
    assert_eq!(bed.texts(&spec.id).await, ["2770 1000 1001 .", "4710 1234 5678 below/file", "seed"]);
    let stored = bed.run_dir().join(sandbox.id.as_str()).join("volumes/seed/below/file");
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(stored, "user.colour", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"red");
    assert!(!folder.path().join("seed/below/more").exists());
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_volume_with_content_takes_nothing() {
    let bed = Bed::new();
    let folder = tempfile::tempdir().unwrap();
    let image = seeded(&bed, folder.path());
    let sandbox = bed.sandbox().await;
    let mut first = bed.script(&sandbox.id, "touch /data/mine; stat -c '%a %u' /data");
    first.isolation.mounts = vec![volume("seed", "/data")];
    bed.runtime.start_container(&first).await.unwrap();
    bed.exit(&first.id).await;
    let mut second = bed.script(&sandbox.id, "ls /seed; stat -c '%a %u' /seed");
    second.root.image = image;
    second.isolation.mounts = vec![volume("seed", "/seed")];
    bed.runtime.start_container(&second).await.unwrap();
    bed.exit(&second.id).await;
    assert_eq!(bed.texts(&second.id).await, ["mine", "755 0"]);
    bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
}

async fn a_volume_of_which_the_image_says_nothing_is_roots() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        spec.isolation.mounts = vec![volume("new", "/not/in/image")];
        set_script(spec, "stat -c '%a %u %g' /not/in/image /not/in");
    });
    assert_eq!(lines.await, ["755 0 0", "755 0 0"]);
}

async fn a_read_only_mount_cannot_be_written() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        let read_only = Mount { is_read_only: true, ..volume("one", "/seen") };
        spec.isolation.mounts = vec![read_only, volume("one", "/written")];
        set_script(spec, "touch /seen/x 2>/dev/null || echo refused; touch /written/x && ls /seen");
    });
    assert_eq!(lines.await, ["refused", "x"]);
}

async fn a_folder_of_the_host_is_made_and_outlives_the_sandbox() {
    let bed = Bed::new();
    let host = tempfile::tempdir().unwrap();
    let lines = output(&bed, |spec| {
        let owner = Some(DirectoryOwner { uid: 1000, gid: 1001, mode: 0o750 });
        let source = MountSource::Directory {
            path: host.path().join("fs"),
            below: PathBuf::from("/users/app"),
            owner,
            squash: None,
        };
        spec.isolation.mounts = vec![Mount { source, destination: PathBuf::from("/efs"), is_read_only: false }];
        spec.user = "app".to_owned();
        set_script(spec, "stat -c '%a %u %g' /efs; echo kept > /efs/file");
    });
    assert_eq!(lines.await, ["750 1000 1001"]);
    let kept = host.path().join("fs/users/app/file");
    assert_eq!((fs::read_to_string(&kept).unwrap().as_str(), kept.metadata().unwrap().uid()), ("kept\n", 1000));
    let again = output(&bed, |spec| {
        spec.isolation.mounts = vec![directory(&host.path().join("fs"), "users", "/efs")];
        set_script(spec, "cat /efs/app/file");
    });
    assert_eq!(again.await, ["kept"]);
}

async fn files_written_through_a_squashed_folder_are_anothers() {
    let bed = Bed::new();
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("theirs"), "").unwrap();
    chown(host.path(), Some(4000), Some(5000)).unwrap();
    chown(host.path().join("theirs"), Some(4000), Some(5000)).unwrap();
    fs::set_permissions(host.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let mount = |squash| {
        let source = MountSource::Directory {
            path: host.path().to_owned(),
            below: PathBuf::new(),
            owner: None,
            squash: Some(squash),
        };
        vec![Mount { source, destination: PathBuf::from("/efs"), is_read_only: false }]
    };
    for (user, squash, ids) in
        [("app", (4000, 5000), "1000 1001"), ("", (4000, 5000), "0 0"), ("", (0, 0), "4000 5000")]
    {
        let lines = output(&bed, |spec| {
            spec.isolation.mounts = mount(squash);
            spec.user = user.to_owned();
            set_script(spec, "cd /efs; stat -c '%u %g' theirs; touch mine; mkdir -p folder");
        });
        assert_eq!(lines.await, [ids], "{user}");
        for name in ["mine", "folder"] {
            let made = host.path().join(name).metadata().unwrap();
            assert_eq!((made.uid(), made.gid()), squash, "{user} {name}");
        }
        fs::remove_file(host.path().join("mine")).unwrap();
        fs::remove_dir(host.path().join("folder")).unwrap();
    }
}

async fn a_link_in_a_folder_of_the_host_does_not_lead_out() {
    let bed = Bed::new();
    let host = tempfile::tempdir().unwrap();
    let (held, secret) = (host.path().join("fs"), host.path().join("secret"));
    fs::create_dir_all(&held).unwrap();
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "").unwrap();
    symlink(&secret, held.join("absolute")).unwrap();
    symlink("../secret", held.join("relative")).unwrap();
    for below in ["absolute", "relative", "../secret"] {
        let sandbox = bed.sandbox().await;
        let mut spec = bed.script(&sandbox.id, "ls /efs");
        spec.isolation.mounts = vec![directory(&held, below, "/efs")];
        if bed.runtime.start_container(&spec).await.is_ok() {
            bed.exit(&spec.id).await;
            assert_eq!(bed.texts(&spec.id).await, [""; 0], "{below}");
        }
        bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
}

async fn mounts_inside_others_come_after_them() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        spec.isolation.mounts = vec![volume("c", "/a/b/c"), volume("a", "/a"), volume("b", "/a/b")];
        spec.isolation.tmpfs = vec![tmpfs("/a/b/memory", 1, &[])];
        set_script(
            spec,
            "touch /a/1 /a/b/2 /a/b/c/3 /a/b/memory/4; ls /a /a/b /a/b/c /a/b/memory | grep -v '^$';
             grep -c ' /a' /proc/self/mountinfo",
        );
    });
    let expected = ["/a:", "1", "b", "/a/b:", "2", "c", "memory", "/a/b/c:", "3", "/a/b/memory:", "4", "4"];
    assert_eq!(lines.await, expected);
}

async fn a_destination_behind_a_link_stays_in_the_image() {
    let bed = Bed::new();
    let outside = tempfile::tempdir().unwrap();
    let layer = tempfile::tempdir().unwrap();
    symlink(outside.path(), layer.path().join("absolute")).unwrap();
    symlink(format!("../../../../../..{}", outside.path().display()), layer.path().join("relative")).unwrap();
    let layers = vec![layer.path().to_owned(), bed.image.layers[0].clone()];
    let image = Arc::new(Image { layers, ..(*bed.image).clone() });
    // The links lead nowhere inside, so that nothing can be made behind them, and nothing is made outside.
    for destination in ["/absolute/x", "/relative/x"] {
        let sandbox = bed.sandbox().await;
        let mut spec = bed.script(&sandbox.id, "true");
        spec.root.image = Arc::clone(&image);
        spec.isolation.mounts = vec![volume("v", destination)];
        let _ = bed.runtime.start_container(&spec).await;
        bed.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // One that leads somewhere inside is followed there.
    symlink("/../home", layer.path().join("inside")).unwrap();
    let lines = output(&bed, |spec| {
        spec.root.image = image;
        spec.isolation.mounts = vec![volume("v", "/inside/app")];
        set_script(spec, "touch /inside/app/x; ls /home/app");
    });
    assert_eq!(lines.await, ["x"]);
}

async fn places_that_cannot_be_mounted_are_create_errors() {
    let bed = Bed::new();
    for (destination, message) in [
        ("/", "invalid volume specification: destination can't be '/'"),
        ("/proc/sys", "\"/proc/sys\" cannot be mounted because it is inside /proc"),
    ] {
        assert_eq!(refusal(&bed, |spec| spec.isolation.mounts = vec![volume("v", destination)]).await, message);
        assert_eq!(refusal(&bed, |spec| spec.isolation.tmpfs = vec![tmpfs(destination, 1, &[])]).await, message);
    }
}

async fn a_volume_on_a_file_is_a_create_error() {
    let bed = Bed::new();
    let message = refusal(&bed, |spec| spec.isolation.mounts = vec![volume("v", "/etc/plain")]).await;
    assert!(message.contains("not a directory"), "{message}");
}

async fn a_volume_that_is_named_like_a_path_is_a_create_error() {
    let bed = Bed::new();
    let message = refusal(&bed, |spec| spec.isolation.mounts = vec![volume("../../x", "/data")]).await;
    assert_eq!(message, "a volume cannot be named \"../../x\"");
}

async fn a_file_system_in_memory_has_its_size_and_options() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        spec.isolation.tmpfs =
            vec![tmpfs("/new", 2, &[]), tmpfs("/home/app", 4, &[]), tmpfs("/run", 1, &["exec", "mode=700", "ro"])];
        set_script(
            spec,
            "for at in /new /home/app /run; do stat -c '%a' $at; grep \" $at \" /proc/mounts | cut -d' ' -f3,4; done;
             dd if=/dev/zero of=/new/x bs=1M count=3 2>&1 | grep -o 'No space left'",
        );
    });
    let lines = lines.await;
    assert_eq!([&lines[0], &lines[2], &lines[4]], ["1777", "755", "700"], "{lines:?}");
    for (line, options) in [
        (1, &["tmpfs", "rw", "nosuid", "nodev", "noexec", "size=2048k"][..]),
        (3, &["tmpfs", "rw", "noexec", "size=4096k", "mode=755"]),
        (5, &["tmpfs", "ro", "nosuid", "nodev", "size=1024k"]),
    ] {
        let words = lines[line].split([' ', ',']).collect::<Vec<_>>();
        assert!(options.iter().all(|option| words.contains(option)), "{lines:?}");
    }
    assert!(!lines[5].contains("noexec"), "{lines:?}");
    assert_eq!(lines[6], "No space left");
    let message = refusal(&bed, |spec| spec.isolation.tmpfs = vec![tmpfs("/x", 1, &["huge=always"])]).await;
    assert_eq!(message, "invalid tmpfs option [\"huge=always\"]");
}

async fn shared_memory_can_be_made_larger() {
    let bed = Bed::new();
    let script = "grep -c ' /dev/shm ' /proc/mounts; grep ' /dev/shm ' /proc/mounts | grep -o 'size=[0-9]*k'";
    assert_eq!(output(&bed, |spec| set_script(spec, script)).await, ["1", "size=65536k"]);
    let lines = output(&bed, |spec| {
        spec.isolation.tmpfs = vec![tmpfs("/dev/shm", 128, &[])];
        set_script(spec, &format!("{script}; touch /dev/shm/x && echo written"));
    });
    assert_eq!(lines.await, ["1", "size=131072k", "written"]);
}

async fn a_read_only_root_has_writable_mounts() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        spec.root.is_read_only = true;
        spec.isolation.mounts = vec![volume("v", "/data")];
        spec.isolation.tmpfs = vec![tmpfs("/tmp", 1, &[])];
        set_script(spec, "touch /x 2>/dev/null || echo refused; touch /data/x && touch /tmp/x && echo written");
    });
    assert_eq!(lines.await, ["refused", "written"]);
}

async fn a_working_directory_may_be_in_a_volume() {
    let bed = Bed::new();
    let lines = output(&bed, |spec| {
        spec.isolation.mounts = vec![volume("v", "/data")];
        spec.working_dir = "/data/work".to_owned();
        set_script(spec, "pwd; grep -c ' /data ' /proc/mounts; ls /data");
    });
    assert_eq!(lines.await, ["/data/work", "1", "work"]);
}
