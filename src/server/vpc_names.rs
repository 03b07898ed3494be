//! The names in VPCs, out of the records of their interfaces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::VpcId;
use network::dns::{Directory, Endpoints, Zone};
use state::State;

/// Snapshots of the names in each VPC, made anew when an interface has come or gone.
pub(crate) struct VpcNames {
    state: Arc<State>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    generation: Option<u64>,
    zones: HashMap<VpcId, Arc<Zone>>,
    nothing: Arc<Zone>,
}

impl VpcNames {
    /// Makes no snapshot yet.
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state, known: Mutex::default() }
    }
}

impl Directory for VpcNames {
    fn zone(&self, vpc: &VpcId) -> Arc<Zone> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.state.ec2.network_interfaces.generation();
        if known.generation != Some(generation) {
            known.generation = Some(generation);
            known.zones = zones(&self.state);
        }
        Arc::clone(known.zones.get(vpc).unwrap_or(&known.nothing))
    }
}

fn zones(state: &State) -> HashMap<VpcId, Arc<Zone>> {
    let mut hosts = HashMap::<VpcId, Vec<_>>::new();
    for (scope, id) in state.ec2.network_interfaces.keys() {
        let Some(interface) = state.ec2.network_interfaces.get(&scope, &id) else { continue };
        let host = (interface.private_dns_name.clone(), interface.address);
        hosts.entry(interface.vpc.clone()).or_default().push(host);
    }
    hosts.into_iter().map(|(vpc, hosts)| (vpc, Arc::new(Zone::new(hosts)))).collect()
}

/// Names the endpoints of the services that are answered here.
pub(crate) fn endpoints() -> Endpoints {
    let names = services::ALL.iter().filter_map(|service| wire::service_named(service.model.id));
    Endpoints::new(names.flat_map(|names| names.hosts).map(|host| (*host).to_owned()))
}
