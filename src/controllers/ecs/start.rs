//! The start of a task's containers: everything that they need is found first, so that none starts in vain.

use std::sync::Arc;

use base::Scope;
use node::{Image, Platform, PullBehavior, PullRequest, RegistryCredentials, RuntimeError, RuntimeErrorKind, Signal};
use state::ecs::{Container, ContainerDefinition, ContainerOverride, CpuArchitecture, Task, TaskDefinition};

use super::environment::{self, Fetched};
use super::hosts::{self, Hosts};
use super::instance_network::{self, Joined};
use super::launch::{self, Launch};
use super::{awslogs, efs, firelens, log_delivery, mount, network_interface, reason};
use crate::World;

/// The image that the container at a place needs.
pub(super) type Wanted = (usize, PullRequest);

/// Why a task cannot start.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The place of the container that it is about; none if it is about the task.
    pub(super) container: Option<usize>,
    /// Why, in AWS's words.
    pub(super) why: String,
}

/// A container that has all that it needs to start.
pub(super) struct Prepared {
    /// Its place in the task.
    pub(super) place: usize,
    pub(super) image: Arc<Image>,
    fetched: Fetched,
    mounts: Vec<node::Mount>,
}

/// The containers of a task that are about to start.
pub(super) struct Start<'a> {
    pub(super) world: &'a World,
    pub(super) scope: &'a Scope,
    pub(super) task: &'a Task,
    pub(super) definition: &'a TaskDefinition,
}

impl<'a> Start<'a> {
    /// Fetches what containers get from elsewhere: log streams, secrets, files, volumes. Nothing of it is kept.
    pub(super) async fn fetch(&self, places: &[usize]) -> Result<Vec<(usize, Fetched, Vec<node::Mount>)>, Failure> {
        let Self { world, scope, task, definition } = *self;
        let now = world.clock.now();
        let mut all = Vec::new();
        for place in places {
            let Some((container, of_container)) = self.container(*place) else { continue };
            let overrides = overrides(task, container);
            let mut fetched =
                environment::fetch(&world.state, scope, of_container, overrides, now).await.map_err(of_task)?;
            let subnet = task.eni.as_ref().map(|eni| &eni.subnet);
            let efs = |volume: &_| efs::folder(&world.state, &world.settings, scope, volume, subnet);
            let mut mounts = {
                let folders = mount::Folders { efs: &efs, host: &world.settings.host_folders };
                mount::mounts(task, definition, of_container, &folders).map_err(of_task)?
            };
            let additions = firelens::additions(&world.state, scope, task, definition, of_container, now);
            let additions = additions.await.map_err(of_task)?;
            mounts.extend(additions.mounts);
            fetched.secrets.extend(additions.secrets);
            fetched.seen.extend(additions.files);
            all.push((*place, fetched, mounts));
        }
        awslogs::prepare(world, scope, task, definition).map_err(of_task)?;
        Ok(all)
    }

    /// Says which images containers need, and for whom they are pulled.
    pub(super) fn wanted(&self, places: &[usize], behavior: PullBehavior) -> Result<Vec<Wanted>, Failure> {
        let Self { world, scope, definition, .. } = *self;
        let platform = match definition.cpu_architecture {
            Some(CpuArchitecture::X86_64) => Platform::LinuxAmd64,
            Some(CpuArchitecture::Arm64) => Platform::LinuxArm64,
            // On AWS it is x86-64. Here it is what the machine can run.
            None => Platform::host(),
        };
        let mut all = Vec::with_capacity(places.len());
        for place in places {
            let Some((_, of_container)) = self.container(*place) else { continue };
            let parameter = of_container.repository_credentials.as_ref();
            let now = world.clock.now();
            let credentials = parameter
                .map(|parameter| super::secret::registry_credentials(&world.state, scope, parameter, now))
                .transpose()
                .map_err(of_task)?
                .map(|found| RegistryCredentials {
                    username: found.username,
                    password: found.password.expose().to_owned(),
                });
            let request = PullRequest { platform, credentials, behavior, ..PullRequest::new(&of_container.image) };
            all.push((*place, request));
        }
        Ok(all)
    }

    /// Makes what the containers share, and returns what all of them know of hosts. Repeating it changes nothing.
    pub(super) async fn make_sandbox(&self) -> Result<Hosts, Failure> {
        let Self { world, scope, task, definition } = *self;
        let spec = task.eni.as_ref().and_then(|eni| network_interface::spec(world, scope, eni));
        let Joined { namespace, host, address } = match spec {
            None => instance_network::join(world, scope, task, definition).await.map_err(of_task)?,
            Some(spec) => {
                let attached = world.node.network.attach(&task.key.id, &spec).await;
                let namespace = attached.map_err(|error| of_task(reason::cannot_attach(&error)))?.namespace;
                Joined { namespace: Some(namespace), ..Joined::default() }
            }
        };
        let mut sandbox = launch::sandbox(task, definition, &world.settings, &scope.region, namespace);
        if let Some(host) = host {
            sandbox.hosts.push(format!("{} {}", host.address, host.name));
            sandbox.hostname = host.name;
        }
        if let Some(address) = address {
            sandbox.hosts.push(format!("{address} {}", sandbox.hostname));
        }
        let made = world.node.runtime.create_sandbox(&sandbox).await;
        made.map_err(|error| of_task(reason::cannot_run(&error)))?;
        Ok(Hosts { lines: sandbox.hosts, linked: address })
    }

    /// Joins what was fetched for containers to their images, and to what they know of hosts.
    pub(super) fn prepared(
        &self,
        fetched: Vec<(usize, Fetched, Vec<node::Mount>)>,
        images: &[(usize, Arc<Image>)],
        hosts: &Hosts,
    ) -> Vec<Prepared> {
        let joined = fetched.into_iter().filter_map(|(place, mut fetched, mounts)| {
            let own = self.container(place).and_then(|(_, definition)| hosts::file(hosts, definition));
            fetched.seen.extend(own);
            let (_, image) = images.iter().find(|(known, _)| *known == place)?;
            Some(Prepared { place, image: Arc::clone(image), fetched, mounts })
        });
        joined.collect()
    }

    /// Starts one container.
    pub(super) async fn start(&self, prepared: Prepared) -> Result<(), RuntimeError> {
        let Prepared { place, image, fetched, mounts } = prepared;
        let Some((container, of_container)) = self.container(place) else { return Ok(()) };
        let launch = Launch {
            task: self.task,
            container,
            definition: of_container,
            image: &image,
            region: &self.scope.region,
            fetched: &fetched,
            mounts,
            serves_api: self.world.node.network.serves_tasks(),
            output_buffer_bytes: log_delivery::buffer_bytes(&self.world.state, self.scope, of_container),
        };
        let spec = launch.spec();
        if spec.args.is_empty() {
            return Err(RuntimeError {
                kind: RuntimeErrorKind::Create,
                action: "make the container",
                subject: container.name.clone(),
                message: "no command specified".to_owned(),
            });
        }
        self.world.node.runtime.start_container(&spec).await
    }

    fn container(&self, place: usize) -> Option<(&'a Container, &'a ContainerDefinition)> {
        let container = self.task.containers.get(place)?;
        let definition = self.definition.containers.iter().find(|known| known.name == container.name)?;
        Some((container, definition))
    }
}

/// Returns the signal that asks a container of that image to end, where that is not SIGTERM.
pub(super) fn stop_signal(image: &Image) -> Option<i32> {
    let signal = Signal::parse(image.config.stop_signal.as_deref()?)?;
    (signal != Signal::TERM).then_some(signal.0)
}

fn overrides<'a>(task: &'a Task, container: &Container) -> Option<&'a ContainerOverride> {
    task.overrides.containers.iter().find(|entry| entry.name == container.name)
}

fn of_task(why: String) -> Failure {
    Failure { container: None, why }
}
