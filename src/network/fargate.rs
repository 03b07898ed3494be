//! [`Network`] on this machine's kernel.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use base::{TaskId, VpcId};
use node::{Attachment, BridgeSpec, EniSpec, Fault, FaultError, FaultKind, InterfaceStats, Network, NetworkError};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, oneshot};

use crate::bridge;
use crate::eni;
use crate::failure::During;
use crate::fault;
use crate::host::Host;
use crate::namespace::{self, Names};
use crate::sockets::SocketSink;
use crate::vpc::{self, Vpcs};

/// How many sandboxes are worked on at once. The kernel does most of it under one lock: more would only wait there.
const OPERATIONS_MAX: usize = 8;

/// How a network is set up.
#[derive(Clone)]
pub struct Config {
    /// Sets this installation's namespaces and links apart from others' on the same machine: six hexadecimal digits,
    /// the same at every start.
    pub instance: String,
    /// Who answers tasks inside their VPCs, if anybody does. Given the sockets of each VPC that is made or adopted.
    pub sockets: Option<SocketSink>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// VPCs and ENIs made of network namespaces, bridges and veth pairs. Needs root.
#[derive(Debug)]
pub struct FargateNetwork {
    machine: Arc<Machine>,
    operations: Arc<Semaphore>,
    /// Shared by work on sandboxes, exclusive for clearing.
    clearing: Arc<RwLock<()>>,
}

impl FargateNetwork {
    /// Makes a network. Nothing on the machine changes yet.
    ///
    /// # Errors
    ///
    /// The instance is not six hexadecimal digits.
    pub fn new(config: Config) -> Result<Arc<Self>, NetworkError> {
        let Config { instance, sockets } = config;
        let names = Names::new(&instance).during("name the network", &instance)?;
        let machine = Machine { names, instance, vpcs: Vpcs::new(sockets), busy: Busy::default() };
        Ok(Arc::new(Self {
            machine: Arc::new(machine),
            operations: Arc::new(Semaphore::new(OPERATIONS_MAX)),
            clearing: Arc::default(),
        }))
    }

    /// Opens the sockets in the VPCs that an earlier server process has left, so that their tasks are answered again.
    ///
    /// # Errors
    ///
    /// The VPCs cannot be listed. What fails of one of them is logged.
    pub async fn adopt(&self) -> Result<(), NetworkError> {
        let shared: OwnedRwLockReadGuard<()> = Arc::clone(&self.clearing).read_owned().await;
        let vpcs = self.machine.names.vpcs().during("list the network namespaces", &self.machine.instance)?;
        for vpc in vpcs {
            let (machine, id) = (Arc::clone(&self.machine), vpc.clone());
            let adopted = on_own_thread(vpc.as_str(), move || machine.adopt(&id)).await;
            if let Err(error) = adopted {
                tracing::error!(%vpc, %error, cause = %error.source, "tasks in this VPC find no metadata for now");
            }
        }
        drop(shared);
        Ok(())
    }

    /// Does something in the sandbox's network namespace.
    async fn within<T: Send + 'static>(
        &self,
        sandbox: &TaskId,
        work: impl FnOnce(&str) -> Result<T, FaultError> + Send + 'static,
    ) -> Result<T, FaultError> {
        let id = sandbox.clone();
        self.work(sandbox, move |machine| {
            let _turn = machine.busy.turn(&id);
            let path = machine.names.sandbox(&id).during("name the network namespace", &id)?;
            if !vpc::enter_existing(&path).during("enter the network namespace", &id)? {
                return Err("it is not there").during("enter the network namespace", &id);
            }
            Ok(work(id.as_str()))
        })
        .await?
    }

    /// Works on one sandbox, beside others. The thread carries what it holds: it comes to its end even if the caller
    /// goes away.
    async fn work<T: Send + 'static>(
        &self,
        subject: &TaskId,
        work: impl FnOnce(&Machine) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let place = Arc::clone(&self.operations).acquire_owned().await.expect("the semaphore is never closed");
        let shared: OwnedRwLockReadGuard<()> = Arc::clone(&self.clearing).read_owned().await;
        let machine = Arc::clone(&self.machine);
        on_own_thread(subject.as_str(), move || {
            let result = work(&machine);
            drop((place, shared));
            result
        })
        .await
    }
}

#[async_trait]
impl Network for FargateNetwork {
    async fn attach(&self, sandbox: &TaskId, eni: &EniSpec) -> Result<Attachment, NetworkError> {
        let (id, eni) = (sandbox.clone(), eni.clone());
        self.work(sandbox, move |machine| machine.attach(&id, &eni)).await
    }

    async fn attach_behind(&self, sandbox: &TaskId, bridge: &BridgeSpec) -> Result<Attachment, NetworkError> {
        let (id, bridge) = (sandbox.clone(), bridge.clone());
        self.work(sandbox, move |machine| machine.attach_behind(&id, &bridge)).await
    }

    async fn detach(&self, sandbox: &TaskId) -> Result<(), NetworkError> {
        let id = sandbox.clone();
        self.work(sandbox, move |machine| machine.detach(&id)).await
    }

    async fn sandboxes(&self) -> Result<Vec<TaskId>, NetworkError> {
        self.machine.names.sandboxes().during("list the network namespaces", &self.machine.instance)
    }

    async fn clear(&self) -> Result<(), NetworkError> {
        let exclusive = Arc::clone(&self.clearing).write_owned().await;
        let machine = Arc::clone(&self.machine);
        on_own_thread(&self.machine.instance, move || {
            let result = machine.clear();
            drop(exclusive);
            result
        })
        .await
    }

    fn serves_tasks(&self) -> bool {
        self.machine.vpcs.are_served()
    }

    async fn stats(&self, sandbox: &TaskId) -> Option<InterfaceStats> {
        let id = sandbox.clone();
        let counted = self.work(sandbox, move |machine| {
            let path = machine.names.sandbox(&id).during("name the network namespace", &id)?;
            eni::counters(&path).during("read the counters", &id)
        });
        counted.await.unwrap_or_else(|error| {
            tracing::warn!(%sandbox, %error, cause = %error.source, "an interface is not counted");
            None
        })
    }

    async fn start_fault(&self, sandbox: &TaskId, fault: &Fault) -> Result<(), FaultError> {
        let wanted = fault.clone();
        self.within(sandbox, move |subject| fault::start(&wanted, subject)).await
    }

    async fn stop_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<(), FaultError> {
        self.within(sandbox, move |subject| fault::stop(kind, subject)).await
    }

    async fn has_fault(&self, sandbox: &TaskId, kind: FaultKind) -> Result<bool, FaultError> {
        self.within(sandbox, move |subject| fault::is_there(kind, subject)).await
    }
}

/// Runs blocking work on a thread that ends with it, since it may end up in another network namespace.
async fn on_own_thread<T: Send + 'static>(
    subject: &str,
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let action = "work on the network";
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("network".to_owned())
        // Whoever waits may be gone; the work is done all the same.
        .spawn(move || drop(done.send(work())))
        .during(action, subject)?;
    result.await.during(action, subject)?
}

/// What the threads share.
struct Machine {
    names: Names,
    instance: String,
    vpcs: Vpcs,
    busy: Busy,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Machine {
    fn adopt(&self, vpc: &VpcId) -> Result<(), NetworkError> {
        self.vpcs.adopt(&self.names, &self.instance, &mut Host::open()?, vpc)
    }

    fn attach(&self, sandbox: &TaskId, eni: &EniSpec) -> Result<Attachment, NetworkError> {
        let _turn = self.busy.turn(sandbox);
        let path = self.names.sandbox(sandbox).during("name the network namespace", sandbox)?;
        let mut host = Host::open()?;
        let is_there = match eni::find(&path).during("look into the network namespace", sandbox)? {
            Some(found) if found.is(eni) => true,
            _ => {
                self.take_away(&path, &mut host, sandbox)?;
                false
            }
        };
        let mut vpc = self.vpcs.enter(&self.names, &self.instance, &mut host, eni)?;
        let made = if is_there { Ok(()) } else { eni::create(&path, eni, &mut vpc) };
        let claimed = made.and_then(|()| match &vpc.link {
            Some(link) => host.claim(eni.address, link).during("make the host's route", sandbox),
            None => Ok(false),
        });
        match claimed {
            Ok(is_reachable_from_host) => {
                Ok(Attachment { namespace: path, address: eni.address, is_reachable_from_host })
            }
            Err(error) => {
                // The first failure says more than what may follow from it.
                if let Err(second) = self.take_away(&path, &mut host, sandbox) {
                    tracing::warn!(%sandbox, error = %second, "a failed attachment leaves something behind");
                }
                Err(error)
            }
        }
    }

    fn attach_behind(&self, sandbox: &TaskId, bridge: &BridgeSpec) -> Result<Attachment, NetworkError> {
        let _turn = self.busy.turn(sandbox);
        // Nobody else makes links in the gateway meanwhile: their numbers are the sandboxes' addresses.
        let _gateway = self.busy.turn(&bridge.gateway);
        let path = self.names.sandbox(sandbox).during("name the network namespace", sandbox)?;
        let gateway = self.names.sandbox(&bridge.gateway).during("name the network namespace", &bridge.gateway)?;
        if !bridge::is_there(&path, bridge).during("look into the network namespace", sandbox)? {
            self.leave_gateway(&path, sandbox)?;
            namespace::remove(&path).during("take away the network namespace", sandbox)?;
        }
        let address = bridge::join(&path, &gateway, sandbox, bridge)?;
        Ok(Attachment { namespace: path, address, is_reachable_from_host: false })
    }

    /// Takes away what the gateway of a sandbox has of it, if it has a gateway.
    fn leave_gateway(&self, path: &Path, sandbox: &TaskId) -> Result<(), NetworkError> {
        let found = bridge::find(path).during("look into the network namespace", sandbox)?;
        let Some(found) = found else { return Ok(()) };
        let gateway = self.names.sandbox(&found.gateway).during("name the network namespace", &found.gateway)?;
        bridge::leave(&gateway, sandbox, &found)
    }

    fn detach(&self, sandbox: &TaskId) -> Result<(), NetworkError> {
        let _turn = self.busy.turn(sandbox);
        let path = self.names.sandbox(sandbox).during("name the network namespace", sandbox)?;
        self.take_away(&path, &mut Host::open()?, sandbox)
    }

    /// Takes away what is there, as far as it was made.
    fn take_away(&self, path: &Path, host: &mut Host, sandbox: &TaskId) -> Result<(), NetworkError> {
        let cut = eni::find(path).during("look into the network namespace", sandbox).and_then(|found| {
            // What has no interface may be behind one that has.
            let Some(found) = found else { return self.leave_gateway(path, sandbox) };
            let vpc = self.names.vpc(&found.vpc()).during("name the network namespace", found.vpc())?;
            match vpc::cut_off(&vpc, found.port, found.address(), sandbox.as_str())? {
                Some(link) => host.release(found.address(), link, sandbox.as_str()),
                None => Ok(()),
            }
        });
        namespace::remove(path).during("take away the network namespace", sandbox).and(cut)
    }

    fn clear(&self) -> Result<(), NetworkError> {
        let action = "take away the network";
        self.vpcs.forget();
        for path in self.names.all().during(action, &self.instance)? {
            namespace::remove(&path).during(action, path.display())?;
        }
        Host::open()?.remove_links(&self.instance)
    }
}

/// Lets one thread at a time work on a sandbox.
#[derive(Default)]
struct Busy {
    sandboxes: Mutex<HashSet<TaskId>>,
    freed: Condvar,
}

struct Turn<'a> {
    busy: &'a Busy,
    sandbox: TaskId,
}

impl Busy {
    fn turn(&self, sandbox: &TaskId) -> Turn<'_> {
        let sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sandboxes = self
            .freed
            .wait_while(sandboxes, |sandboxes| sandboxes.contains(sandbox))
            .unwrap_or_else(PoisonError::into_inner);
        sandboxes.insert(sandbox.clone());
        Turn { busy: self, sandbox: sandbox.clone() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.busy.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.sandbox);
        self.busy.freed.notify_all();
    }
}
