//! What containers are started with.

use std::path::Path;

use base::Region;
use node::{ImageConfig, MountSource};
use state::ecs::{EfsVolume, MountPoint, TaskCredentials, TaskVolume, TmpfsMount, Volume, VolumeSource, VolumesFrom};
use state::iam::Secret;

use super::super::mount::{EfsFolder, Folders, mounts};
use super::super::samples;
use super::*;
use crate::HostFolder;

fn pair(name: &str, value: &str) -> KeyValue {
    KeyValue { name: name.to_owned(), value: value.to_owned() }
}

/// Says what is started for the first container of a task, given what was fetched.
fn spec(task: &Task, definition: &ContainerDefinition, fetched: &Fetched, serves_api: bool) -> ContainerSpec {
    let config = ImageConfig {
        cmd: vec!["run".to_owned()],
        env: vec!["PATH=/bin".to_owned(), "FROM=image".to_owned()],
        ..ImageConfig::default()
    };
    let image = Arc::new(Image { digest: String::new(), config, layers: Vec::new() });
    let region = Region::default();
    let container = &task.containers[0];
    let launch = Launch {
        task,
        container,
        definition,
        image: &image,
        region: &region,
        fetched,
        mounts: Vec::new(),
        serves_api,
        output_buffer_bytes: None,
    };
    launch.spec()
}

fn value(spec: &ContainerSpec, name: &str) -> Option<String> {
    let found = spec.env.iter().filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
    let mut found = found.map(|(_, value)| value.to_owned());
    let value = found.next();
    assert_eq!(found.next(), None, "{name} comes twice");
    value
}

#[test]
fn later_sources_of_the_environment_win() {
    // Where the variable is set besides the image → whose value it has.
    let rows = [
        ("", "image"),
        ("f", "file"),
        ("d", "definition"),
        ("fd", "definition"),
        ("o", "override"),
        ("fdo", "override"),
        ("s", "secret"),
        ("fdos", "secret"),
    ];
    for (sources, expected) in rows {
        let has = |source: char| sources.contains(source);
        let mut definition = samples::container("app");
        definition.environment = has('d').then(|| pair("FROM", "definition")).into_iter().collect();
        let mut task = samples::task(vec![definition.clone()]);
        task.overrides.containers.push(ContainerOverride {
            name: "app".to_owned(),
            environment: has('o').then(|| pair("FROM", "override")).into_iter().collect(),
            ..ContainerOverride::default()
        });
        let fetched = Fetched {
            files: has('f').then(|| ("FROM".to_owned(), "file".to_owned())).into_iter().collect(),
            secrets: has('s').then(|| ("FROM".to_owned(), Secret::new("secret".to_owned()))).into_iter().collect(),
            seen: Vec::new(),
        };
        let spec = spec(&task, &definition, &fetched, false);
        assert_eq!(value(&spec, "FROM").as_deref(), Some(expected), "{sources}");
    }
}

#[test]
fn the_platform_says_where_a_container_is_and_what_it_may_ask() {
    let definition = samples::container("app");
    let mut task = samples::task(vec![definition.clone()]);
    let id = task.containers[0].id.to_string();
    let shown = spec(&task, &definition, &Fetched::default(), false);
    for (name, expected) in [
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("ECS_AGENT_URI", format!("http://169.254.170.2/api/{id}")),
        ("ECS_CONTAINER_METADATA_URI", format!("http://169.254.170.2/v3/{id}")),
        ("ECS_CONTAINER_METADATA_URI_V4", format!("http://169.254.170.2/v4/{id}")),
    ] {
        assert_eq!(value(&shown, name), Some(expected), "{name}");
    }
    for name in ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ENDPOINT_URL", "HOSTNAME"] {
        assert_eq!(value(&shown, name), None, "{name}");
    }
    task.credentials = Some(TaskCredentials { id: "an-id".to_owned(), access_key_id: "ASIA".to_owned() });
    let shown = spec(&task, &definition, &Fetched::default(), true);
    let path = value(&shown, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    assert_eq!(path.as_deref(), Some("/v2/credentials/an-id"));
    assert_eq!(value(&shown, "AWS_ENDPOINT_URL").as_deref(), Some("http://169.254.170.2:4566"));
    let own = ContainerDefinition { environment: vec![pair("AWS_ENDPOINT_URL", "http://own")], ..definition };
    let shown = spec(&task, &own, &Fetched::default(), true);
    assert_eq!(value(&shown, "AWS_ENDPOINT_URL").as_deref(), Some("http://own"));
}

#[test]
fn a_container_may_do_what_its_definition_says() {
    let definition = ContainerDefinition {
        capabilities_added: vec!["SYS_PTRACE".to_owned()],
        capabilities_dropped: vec!["ALL".to_owned(), "NET_RAW".to_owned(), "CAP_MKNOD".to_owned()],
        has_init: true,
        ulimits: vec![state::ecs::Ulimit { name: "nofile".to_owned(), soft: Some(1), hard: None }],
        system_controls: vec![pair("net.core.somaxconn", "512")],
        tmpfs: vec![TmpfsMount { path: "/run".to_owned(), size_mib: 8, options: vec!["noexec".to_owned()] }],
        is_root_read_only: true,
        ..samples::container("app")
    };
    let task = samples::task(vec![definition.clone()]);
    let spec = spec(&task, &definition, &Fetched::default(), false);
    assert!(spec.root.is_read_only);
    let expected = Isolation {
        mounts: Vec::new(),
        tmpfs: vec![Tmpfs { destination: "/run".into(), size_mib: 8, options: vec!["noexec".to_owned()] }],
        capabilities_added: vec!["CAP_SYS_PTRACE".to_owned()],
        capabilities_dropped: vec!["ALL".to_owned(), "CAP_NET_RAW".to_owned(), "CAP_MKNOD".to_owned()],
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: Some(1), hard: None }],
        sysctls: vec![("net.core.somaxconn".to_owned(), "512".to_owned())],
        has_init: true,
        files: Vec::new(),
    };
    assert_eq!(spec.isolation, expected);
}

#[test]
fn a_sandbox_has_the_storage_of_its_task_unless_an_operator_says() {
    let definition = samples::definition(Vec::new());
    let task = samples::task(Vec::new());
    let bytes = |settings: &Settings| {
        sandbox(&task, &definition, settings, &Region::default(), None).storage_bytes.map(|bytes| bytes / MIB)
    };
    assert_eq!(bytes(&Settings::default()), Some(20 * 1024));
    assert_eq!(bytes(&Settings { ephemeral_storage_mib: Some(16), ..Settings::default() }), Some(16));
}

/// Shows the mounts of a container of a task on Fargate.
fn mounted(containers: &[(&str, &[&str], &[&str])], of: usize) -> Result<Vec<String>, String> {
    mounted_at(state::ecs::Launch::Fargate { platform_version: "1.4.0".to_owned() }, &[], containers, of)
}

/// Shows the mounts of a container, a word each: `volume@/where`, with `:ro` if it cannot be written.
fn mounted_at(
    launch: state::ecs::Launch,
    host: &[HostFolder],
    containers: &[(&str, &[&str], &[&str])],
    of: usize,
) -> Result<Vec<String>, String> {
    let read_only = |text: &str| (text.trim_end_matches(":ro").to_owned(), text.ends_with(":ro"));
    let container = |(name, points, from): &(&str, &[&str], &[&str])| ContainerDefinition {
        mount_points: points
            .iter()
            .map(|point| {
                let (point, is_read_only) = read_only(point);
                let (volume, path) = point.split_once('@').unwrap();
                MountPoint { volume: volume.to_owned(), path: path.to_owned(), is_read_only }
            })
            .collect(),
        volumes_from: from
            .iter()
            .map(|from| {
                let (container, is_read_only) = read_only(from);
                VolumesFrom { container, is_read_only }
            })
            .collect(),
        ..samples::container(name)
    };
    let volume = |name: &str, source| Volume { name: name.to_owned(), source };
    let efs = EfsVolume { file_system: "fs-1".to_owned(), root_directory: "/".to_owned(), access_point: None };
    let mut definition = samples::definition(containers.iter().map(container).collect());
    definition.volumes = vec![
        volume("a", VolumeSource::Empty),
        volume("b", VolumeSource::Empty),
        volume("ebs", VolumeSource::AtLaunch),
        volume("efs", VolumeSource::Efs(efs)),
        volume("host", VolumeSource::Host { path: "/etc".to_owned() }),
        volume("other", VolumeSource::AtLaunch),
    ];
    let mut task = samples::task(definition.containers.clone());
    task.launch = launch;
    task.volumes = vec![TaskVolume { name: "ebs".to_owned(), size_gib: 2, role: None, outlives_task: false }];
    let folder = |volume: &EfsVolume| {
        Ok(EfsFolder {
            path: Path::new("/efs").join(&volume.file_system),
            below: "x".into(),
            owner: None,
            squash: None,
        })
    };
    let folders = Folders { efs: &folder, host };
    let mounts = mounts(&task, &definition, &definition.containers[of], &folders)?;
    let show = |mount: Mount| {
        let source = match mount.source {
            MountSource::Volume { name, size_bytes } => {
                size_bytes.map_or_else(|| name.clone(), |bytes| format!("{name}({})", bytes >> 30))
            }
            MountSource::Directory { path, below, .. } => path.join(below).display().to_string(),
        };
        let suffix = if mount.is_read_only { ":ro" } else { "" };
        format!("{source}@{}{suffix}", mount.destination.display())
    };
    Ok(mounts.into_iter().map(show).collect())
}

#[test]
fn a_container_sees_its_own_volumes_and_those_of_the_containers_it_names() {
    type Containers = &'static [(&'static str, &'static [&'static str], &'static [&'static str])];
    let rows: [(Containers, &[&str]); 9] = [
        (&[("x", &[], &[])], &[]),
        (&[("x", &["a@/a", "b@/b:ro"], &[])], &["a@/a", "b@/b:ro"]),
        (&[("x", &["ebs@/data"], &[])], &["ebs(2)@/data"]),
        (&[("x", &["efs@/data:ro"], &[])], &["/efs/fs-1/x@/data:ro"]),
        (&[("x", &["a@/x"], &["y"]), ("y", &["b@/y"], &[])], &["a@/x", "b@/y"]),
        (&[("x", &[], &["y:ro"]), ("y", &["a@/y", "b@/z:ro"], &[])], &["a@/y:ro", "b@/z:ro"]),
        // Its own stands where two meet.
        (&[("x", &["a@/same"], &["y"]), ("y", &["b@/same"], &[])], &["a@/same"]),
        (&[("x", &[], &["y:ro"]), ("y", &[], &["z"]), ("z", &["a@/z"], &[])], &["a@/z:ro"]),
        (&[("x", &["a@/x"], &["y"]), ("y", &["b@/y"], &["x"])], &["a@/x", "b@/y"]),
    ];
    for (containers, expected) in rows {
        assert_eq!(mounted(containers, 0).unwrap(), expected, "{containers:?}");
    }
}

#[test]
fn a_volume_that_cannot_be_had_fails_the_task() {
    for volume in ["none", "host", "other"] {
        let point = format!("{volume}@/x");
        let why = mounted(&[("x", &[&point], &[])], 0).unwrap_err();
        assert!(why.starts_with(&format!("ResourceInitializationError: unable to set up volume {volume}: ")), "{why}");
    }
}

#[test]
fn a_task_on_an_instance_mounts_what_lies_in_an_allowed_folder_of_the_host() {
    let on_instance =
        || state::ecs::Launch::Ec2 { container_instance: base::ContainerInstanceId::new("i"), is_local: false };
    let allowed = |path: &str| [HostFolder::find(Path::new(path)).unwrap()];
    let points: &[(&str, &[&str], &[&str])] = &[("x", &["host@/x:ro"], &[])];
    assert_eq!(mounted_at(on_instance(), &allowed("/etc"), points, 0).unwrap(), ["/etc/@/x:ro"]);
    assert_eq!(mounted_at(on_instance(), &allowed("/"), points, 0).unwrap(), ["/etc@/x:ro"]);
    let why = mounted_at(on_instance(), &allowed("/tmp"), points, 0).unwrap_err();
    assert_eq!(
        why,
        "ResourceInitializationError: unable to set up volume host: sourcePath /etc is in no folder that the server was \
         told of by --allow-host-path"
    );
    let why = mounted(points, 0).unwrap_err();
    assert!(why.ends_with("sourcePath is not supported on Fargate"), "{why}");
}

#[test]
fn the_domain_of_hosts_follows_the_region() {
    assert_eq!(search_domain(&Region::default()), "ec2.internal");
    assert_eq!(search_domain(&Region::parse("eu-west-1").unwrap()), "eu-west-1.compute.internal");
}
