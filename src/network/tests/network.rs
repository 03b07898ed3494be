//! The network on the real kernel: namespaces, bridges, veth pairs, routes. Needs root and the `ip` program.
//!
//! Each test has a network namespace of its own in place of the host's, so that tests neither meet nor disturb the
//! machine's network, and an instance of its own, since names under `/run/netns` are the machine's.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base::{EniId, SubnetId, TaskId, VpcId};
use futures_util::future::{join_all, try_join_all};
use network::sockets::{SocketSink, VpcSockets};
use network::{Config, FargateNetwork, namespace, sockets};
use nix::sched::{CloneFlags, unshare};
use node::{
    Attachment, BlackholePort, Direction, EniSpec, Fault, FaultKind, FaultScope, IpRange, MacAddress, Network,
    SubnetSpec, Transport, VpcSpec,
};

/// Long enough for a busy machine, short enough to see a lost packet's second attempt fail: ARP repeats after 1 s.
const WAIT: Duration = Duration::from_secs(10);

/// A host of its own with one network in it.
struct Lab {
    instance: String,
    network: Arc<FargateNetwork>,
}

impl Lab {
    /// Runs a test on a thread in a new network namespace; what the test makes is gone afterwards, whatever happens.
    fn run(test: impl AsyncFnOnce(&Lab) + Send + 'static) {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let number = (std::process::id() << 6) + TESTS.fetch_add(1, Ordering::Relaxed);
        let instance = format!("{:06x}", number & 0xff_ffff);
        let host = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let lab = Lab { network: network(&instance), instance };
            runtime.block_on(async {
                test(&lab).await;
                lab.network.clear().await.unwrap();
            });
            assert_eq!(lab.names(), Vec::<String>::new());
            assert!(!ip("-o link").contains(&lab.instance));
        });
        host.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// Lists what the instance has under `/run/netns`.
    fn names(&self) -> Vec<String> {
        names(&self.instance)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Only a failed test leaves something; its links go with its namespaces.
        for name in self.names() {
            Command::new("ip").args(["netns", "delete", &name]).status().unwrap();
        }
    }
}

fn names(instance: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(instance)).collect()
}

fn network(instance: &str) -> Arc<FargateNetwork> {
    FargateNetwork::new(Config { instance: instance.to_owned(), sockets: None }).unwrap()
}

/// A network that gives the sockets of its VPCs to the test.
fn served_network(instance: &str) -> (Arc<FargateNetwork>, Receiver<VpcSockets>) {
    let (given, taken) = mpsc::channel();
    let given = Mutex::new(given);
    let sink: SocketSink = Arc::new(move |sockets| given.lock().unwrap().send(sockets).unwrap());
    (FargateNetwork::new(Config { instance: instance.to_owned(), sockets: Some(sink) }).unwrap(), taken)
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn ip_inside(namespace: &Path, arguments: &str) -> String {
    ip(&format!("-n {} {arguments}", namespace.file_name().unwrap().to_str().unwrap()))
}

fn task(number: u8) -> TaskId {
    TaskId::new(format!("{number:032x}"))
}

/// An ENI with the address 172.31.0.`last` in the VPC.
fn eni(vpc: &str, last: u8) -> EniSpec {
    let subnet = |third| SubnetSpec {
        id: SubnetId::new(format!("subnet-{third}")),
        base: [172, 31, third, 0].into(),
        prefix_len: 20,
    };
    EniSpec {
        id: EniId::new(format!("eni-{vpc}-{last}")),
        vpc: VpcSpec {
            id: VpcId::new(format!("vpc-{vpc}")),
            base: [172, 31, 0, 0].into(),
            subnets: vec![subnet(0), subnet(16), subnet(32)],
        },
        subnet: subnet(0),
        address: Ipv4Addr::new(172, 31, 0, last),
        mac: MacAddress([2, 0, 172, 31, 0, last]),
    }
}

/// Answers one connection inside the namespace with `word`.
fn serve(at: &Attachment, address: Ipv4Addr, word: &'static str) -> thread::JoinHandle<()> {
    let listener = sockets::listen(&at.namespace, (address, 8080).into()).unwrap();
    thread::spawn(move || answer(&listener, word))
}

fn answer(listener: &TcpListener, word: &str) {
    listener.accept().unwrap().0.write_all(word.as_bytes()).unwrap();
}

fn fetch(address: Ipv4Addr) -> io::Result<String> {
    fetch_from((address, 8080).into(), WAIT)
}

fn fetch_from(address: SocketAddr, wait: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(WAIT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_sandbox_has_the_enis_address_hardware_address_and_default_route() {
    Lab::run(async |lab| {
        let at = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        assert_eq!(at.namespace, PathBuf::from(format!("/run/netns/neargate-{}-{}", lab.instance, task(1))));
        assert!(ip_inside(&at.namespace, "-4 -o address show eth1").contains("inet 172.31.0.10/20"));
        assert!(ip_inside(&at.namespace, "-o link show eth1").contains("link/ether 02:00:ac:1f:00:0a"));
        assert!(ip_inside(&at.namespace, "-o link show eth1").contains("mtu 9001"));
        assert!(ip_inside(&at.namespace, "-o link show lo").contains("LOOPBACK,UP"));
        assert!(ip_inside(&at.namespace, "route").contains("default via 172.31.0.1 dev eth1"));
    });
}

#[test]
fn a_sandbox_reaches_its_router_and_itself() {
    Lab::run(async |lab| {
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        let vpc = Attachment {
            namespace: at.namespace.with_file_name(format!("neargate-{}-vpc-a", lab.instance)),
            ..at.clone()
        };
        let router = serve(&vpc, Ipv4Addr::new(172, 31, 0, 1), "router");
        assert_eq!(
            namespace::within(&at.namespace, || fetch(Ipv4Addr::new(172, 31, 0, 1))).unwrap().unwrap(),
            "router"
        );
        router.join().unwrap();
        let own = serve(&at, Ipv4Addr::LOCALHOST, "own");
        assert_eq!(namespace::within(&at.namespace, || fetch(Ipv4Addr::LOCALHOST)).unwrap().unwrap(), "own");
        own.join().unwrap();
    });
}

#[test]
fn the_host_reaches_a_sandbox_and_the_route_goes_with_it() {
    Lab::run(async |lab| {
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        assert!(at.is_reachable_from_host);
        let server = serve(&at, eni.address, "hello");
        assert_eq!(fetch(eni.address).unwrap(), "hello");
        server.join().unwrap();
        assert!(ip("route").contains("172.31.0.10 via 169.254."));
        lab.network.detach(&task(1)).await.unwrap();
        assert!(!ip("route").contains("172.31.0.10"));
        assert!(!at.namespace.exists());
    });
}

#[test]
fn the_host_reaches_a_sandbox_under_a_strict_reverse_path_filter() {
    Lab::run(async |lab| {
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        let server = serve(&at, eni.address, "hello");
        assert_eq!(fetch(eni.address).unwrap(), "hello");
        server.join().unwrap();
    });
}

#[test]
fn sandboxes_of_one_vpc_reach_each_other_across_subnets() {
    Lab::run(async |lab| {
        let mut far = eni("a", 20);
        far.subnet = far.vpc.subnets[1].clone();
        far.address = Ipv4Addr::new(172, 31, 16, 20);
        let here = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        for (sandbox, eni) in [(task(2), eni("a", 11)), (task(3), far)] {
            let there = lab.network.attach(&sandbox, &eni).await.unwrap();
            let server = serve(&there, eni.address, "hello");
            assert_eq!(namespace::within(&here.namespace, || fetch(eni.address)).unwrap().unwrap(), "hello");
            server.join().unwrap();
        }
    });
}

#[test]
fn vpcs_with_the_same_addresses_live_side_by_side_and_the_host_reaches_the_first() {
    Lab::run(async |lab| {
        let address = eni("a", 10).address;
        let first = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let second = lab.network.attach(&task(2), &eni("b", 10)).await.unwrap();
        let client = lab.network.attach(&task(3), &eni("b", 11)).await.unwrap();
        assert_eq!((first.is_reachable_from_host, second.is_reachable_from_host), (true, false));
        assert!(client.is_reachable_from_host);
        let servers = [serve(&first, address, "first"), serve(&second, address, "second")];
        assert_eq!(fetch(address).unwrap(), "first");
        assert_eq!(namespace::within(&client.namespace, || fetch(address)).unwrap().unwrap(), "second");
        for server in servers {
            server.join().unwrap();
        }
        lab.network.detach(&task(2)).await.unwrap();
        assert!(ip("route").contains("172.31.0.10 "), "the first's route must not go with the second");
    });
}

#[test]
fn a_route_of_the_hosts_own_is_never_shadowed() {
    Lab::run(async |lab| {
        ip("link add lan type bridge");
        ip("address add 172.31.0.200/24 dev lan");
        ip("link set lan up");
        ip("route add blackhole 172.31.1.0/24");
        let near = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let own = lab.network.attach(&task(2), &eni("a", 200)).await.unwrap();
        let hidden = EniSpec { address: Ipv4Addr::new(172, 31, 1, 5), ..eni("a", 5) };
        let hidden = lab.network.attach(&task(3), &hidden).await.unwrap();
        let free = EniSpec { address: Ipv4Addr::new(172, 31, 2, 5), ..eni("a", 6) };
        let free = lab.network.attach(&task(4), &free).await.unwrap();
        let reached = [near, own, hidden, free].map(|at| at.is_reachable_from_host);
        assert_eq!(reached, [false, false, false, true]);
        ip("link delete lan");
    });
}

#[test]
fn a_default_route_of_the_host_does_not_claim_a_sandboxs_address() {
    Lab::run(async |lab| {
        ip("link add lan type bridge");
        ip("address add 192.0.2.1/24 dev lan");
        ip("link set lan up");
        ip("route add default via 192.0.2.2");
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        assert!(at.is_reachable_from_host);
        let server = serve(&at, eni.address, "hello");
        assert_eq!(fetch(eni.address).unwrap(), "hello");
        server.join().unwrap();
    });
}

#[test]
fn attaching_again_changes_nothing() {
    Lab::run(async |lab| {
        let first = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let before = ip_inside(&first.namespace, "link");
        let again = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        assert_eq!(again, first);
        assert_eq!(ip_inside(&first.namespace, "link"), before);
    });
}

#[test]
fn attaching_another_eni_replaces_the_first() {
    Lab::run(async |lab| {
        lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let at = lab.network.attach(&task(1), &eni("b", 11)).await.unwrap();
        assert!(ip_inside(&at.namespace, "-4 -o address show eth1").contains("172.31.0.11/20"));
        assert!(!ip("route").contains("172.31.0.10 "));
    });
}

#[test]
fn detaching_twice_or_an_unknown_sandbox_is_no_error() {
    Lab::run(async |lab| {
        lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        lab.network.detach(&task(1)).await.unwrap();
        lab.network.detach(&task(1)).await.unwrap();
        lab.network.detach(&task(2)).await.unwrap();
        assert_eq!(lab.network.sandboxes().await.unwrap(), []);
    });
}

#[test]
fn an_address_is_given_anew_right_after_it_was_freed() {
    Lab::run(async |lab| {
        let address = eni("a", 10).address;
        let client = lab.network.attach(&task(1), &eni("a", 9)).await.unwrap();
        for round in 0..5 {
            let reused = EniSpec { mac: MacAddress([2, 9, 9, 9, 9, round]), ..eni("a", 10) };
            let at = lab.network.attach(&task(2), &reused).await.unwrap();
            let servers = thread::spawn({
                let listener = sockets::listen(&at.namespace, (address, 8080).into()).unwrap();
                move || [(); 2].map(|()| answer(&listener, "hello"))
            });
            assert_eq!(fetch(address).unwrap(), "hello");
            assert_eq!(namespace::within(&client.namespace, || fetch(address)).unwrap().unwrap(), "hello");
            servers.join().unwrap();
            lab.network.detach(&task(2)).await.unwrap();
        }
    });
}

#[test]
fn nothing_of_a_detached_sandbox_remains_in_its_vpc() {
    Lab::run(async |lab| {
        let at = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let vpc = at.namespace.with_file_name(format!("neargate-{}-vpc-a", lab.instance));
        assert!(ip_inside(&vpc, "-o link").contains("eni16"));
        lab.network.detach(&task(1)).await.unwrap();
        assert!(!ip_inside(&vpc, "neighbour").contains("172.31.0.10"));
        let is_gone = tokio::time::timeout(WAIT, async {
            while ip_inside(&vpc, "-o link").contains("eni16") {
                tokio::task::yield_now().await;
            }
        });
        is_gone.await.expect("the kernel takes the port away with the namespace");
    });
}

#[test]
fn a_new_process_finds_and_takes_over_what_an_earlier_one_left() {
    Lab::run(async |lab| {
        let before = network(&lab.instance);
        let eni = eni("a", 10);
        let at = before.attach(&task(1), &eni).await.unwrap();
        before.attach(&task(2), &self::eni("a", 11)).await.unwrap();
        drop(before);
        assert_eq!(lab.network.sandboxes().await.unwrap(), [task(1), task(2)]);
        lab.network.detach(&task(2)).await.unwrap();
        assert!(!ip("route").contains("172.31.0.11 "));
        assert_eq!(lab.network.attach(&task(1), &eni).await.unwrap(), at);
        lab.network.attach(&task(3), &self::eni("a", 12)).await.unwrap();
        let server = serve(&at, eni.address, "hello");
        assert_eq!(fetch(eni.address).unwrap(), "hello");
        server.join().unwrap();
    });
}

#[test]
fn clearing_takes_away_what_an_earlier_process_left_and_nothing_of_others() {
    Lab::run(async |lab| {
        let other = format!("{:06x}", u32::from_str_radix(&lab.instance, 16).unwrap() ^ 0x80_0000);
        let neighbour = network(&other);
        neighbour.attach(&task(1), &eni("n", 99)).await.unwrap();
        let before = network(&lab.instance);
        before.attach(&task(1), &eni("a", 10)).await.unwrap();
        before.attach(&task(2), &eni("b", 11)).await.unwrap();
        drop(before);
        lab.network.clear().await.unwrap();
        let (links, routes, left) = (ip("-o link"), ip("route"), names(&other).len());
        neighbour.clear().await.unwrap();
        assert_eq!(lab.names(), Vec::<String>::new());
        assert!(!links.contains(&lab.instance));
        assert!(!routes.contains("172.31.0.10 ") && !routes.contains("172.31.0.11 "));
        assert!(links.contains(&other) && routes.contains("172.31.0.99 "));
        assert_eq!(left, 2);
    });
}

#[test]
fn a_vpc_works_again_after_clearing() {
    Lab::run(async |lab| {
        lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        lab.network.clear().await.unwrap();
        let at = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let server = serve(&at, eni("a", 10).address, "hello");
        assert_eq!(fetch(eni("a", 10).address).unwrap(), "hello");
        server.join().unwrap();
    });
}

#[test]
fn what_a_kill_left_half_made_is_made_whole() {
    Lab::run(async |lab| {
        // The file exists before the namespace is mounted on it, and the namespace before anything is in it.
        std::fs::create_dir_all("/run/netns").unwrap();
        std::fs::write(format!("/run/netns/neargate-{}-{}", lab.instance, task(1)), "").unwrap();
        std::fs::write(format!("/run/netns/neargate-{}-vpc-a", lab.instance), "").unwrap();
        ip(&format!("netns add neargate-{}-{}", lab.instance, task(2)));
        ip(&format!("netns add neargate-{}-vpc-b", lab.instance));
        for (sandbox, eni) in [(task(1), eni("a", 10)), (task(2), eni("b", 11))] {
            let at = lab.network.attach(&sandbox, &eni).await.unwrap();
            let server = serve(&at, eni.address, "hello");
            assert_eq!(fetch(eni.address).unwrap(), "hello");
            server.join().unwrap();
        }
    });
}

#[test]
fn a_failed_attachment_leaves_nothing_and_says_what_failed() {
    Lab::run(async |lab| {
        // The router cannot be reached from a subnet that the address is not in.
        let wrong = EniSpec { address: Ipv4Addr::new(10, 0, 0, 1), ..eni("a", 10) };
        let error = lab.network.attach(&task(1), &wrong).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot set the default route of eni-a-10");
        assert_eq!(lab.network.sandboxes().await.unwrap(), []);
        assert!(!ip("route").contains("10.0.0.1"));
        let vpc = PathBuf::from(format!("neargate-{}-vpc-a", lab.instance));
        assert!(!ip_inside(&vpc, "neighbour").contains("10.0.0.1"));
    });
}

#[test]
fn an_identifier_that_is_no_file_name_is_refused() {
    Lab::run(async |lab| {
        let sandbox = TaskId::new("../etc");
        assert!(lab.network.attach(&sandbox, &eni("a", 10)).await.is_err());
        assert!(lab.network.detach(&sandbox).await.is_err());
        assert!(lab.network.attach(&task(1), &eni("../a", 10)).await.is_err());
        assert_eq!(lab.names(), Vec::<String>::new());
    });
}

#[test]
fn fifty_sandboxes_at_once_share_one_vpc_and_all_answer() {
    Lab::run(async |lab| {
        let attach = async |last| lab.network.attach(&task(last), &eni("a", last)).await;
        let attachments = try_join_all((10..60).map(attach)).await.unwrap();
        assert_eq!(lab.names().len(), 51);
        for (last, at) in (10..60).zip(&attachments) {
            let server = serve(at, eni("a", last).address, "hello");
            assert_eq!(fetch(eni("a", last).address).unwrap(), "hello");
            server.join().unwrap();
        }
        let (ids, network) = ((10..60).map(task).collect::<Vec<_>>(), &lab.network);
        join_all(ids.iter().map(|id| network.detach(id))).await.into_iter().for_each(Result::unwrap);
        assert_eq!(lab.names(), [format!("neargate-{}-vpc-a", lab.instance)]);
        assert!(!ip("route").contains("172.31.0."));
    });
}

#[test]
fn attaching_and_detaching_one_sandbox_at_once_ends_whole_or_gone() {
    Lab::run(async |lab| {
        let eni = &eni("a", 10);
        let attaches = join_all((0..8).map(async |_| lab.network.attach(&task(1), eni).await.map(drop)));
        let detaches = join_all((0..8).map(async |_| lab.network.detach(&task(1)).await));
        let (attached, detached) = futures_util::future::join(attaches, detaches).await;
        attached.into_iter().chain(detached).for_each(Result::unwrap);
        lab.network.attach(&task(1), eni).await.unwrap();
        assert_eq!(lab.network.sandboxes().await.unwrap(), [task(1)]);
    });
}

#[test]
fn a_sandbox_reaches_the_sockets_that_the_server_has_in_its_vpc() {
    Lab::run(async |lab| {
        let (network, sockets) = served_network(&lab.instance);
        assert!(network.serves_tasks() && !lab.network.serves_tasks());
        let here = network.attach(&task(1), &eni("a", 10)).await.unwrap();
        network.attach(&task(2), &eni("a", 11)).await.unwrap();
        let VpcSockets { vpc, metadata, api, dns, .. } = sockets.try_recv().unwrap();
        assert!(sockets.try_recv().is_err(), "once for a VPC");
        assert_eq!(vpc, VpcId::new("vpc-a"));
        for (listener, port) in [(metadata, 80), (api, 4566)] {
            listener.set_nonblocking(false).unwrap();
            let server = thread::spawn(move || {
                let (mut stream, peer) = listener.accept().unwrap();
                write!(stream, "{}", peer.ip()).unwrap();
            });
            let address = SocketAddr::from(([169, 254, 170, 2], port));
            let seen = namespace::within(&here.namespace, || fetch_from(address, WAIT)).unwrap();
            assert_eq!(seen.unwrap(), "172.31.0.10", "the peer's address is the ENI's");
            server.join().unwrap();
        }
        for (dns, address) in dns.into_iter().zip(["172.31.0.2:53", "169.254.169.253:53"]) {
            assert_eq!(dns.tcp.local_addr().unwrap().to_string(), address);
            dns.udp.set_nonblocking(false).unwrap();
            let server = thread::spawn(move || {
                let mut question = [0; 4];
                let (length, peer) = dns.udp.recv_from(&mut question).unwrap();
                dns.udp.send_to(&question[..length], peer).unwrap();
            });
            let asked = namespace::within(&here.namespace, || {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.set_read_timeout(Some(WAIT))?;
                // Connected: an answer from another address is none.
                socket.connect(address)?;
                socket.send(b"who?")?;
                let mut answer = [0; 4];
                socket.recv(&mut answer).map(|length| answer[..length].to_vec())
            });
            assert_eq!(asked.unwrap().unwrap(), b"who?");
            server.join().unwrap();
        }
    });
}

#[test]
fn a_new_process_opens_the_sockets_of_the_vpcs_that_it_finds() {
    Lab::run(async |lab| {
        let (network, before) = served_network(&lab.instance);
        network.attach(&task(1), &eni("a", 10)).await.unwrap();
        network.attach(&task(2), &eni("b", 10)).await.unwrap();
        drop((before.try_iter().collect::<Vec<_>>(), network));
        let (network, after) = served_network(&lab.instance);
        network.adopt().await.unwrap();
        let mut found = after.try_iter().collect::<Vec<_>>();
        found.sort_by_key(|sockets| sockets.vpc.clone());
        let vpcs = found.iter().map(|sockets| sockets.vpc.as_str()).collect::<Vec<_>>();
        assert_eq!(vpcs, ["vpc-a", "vpc-b"]);
        for sockets in &found {
            let addresses = sockets.dns.iter().map(|dns| dns.udp.local_addr().unwrap().to_string());
            assert_eq!(addresses.collect::<Vec<_>>(), ["172.31.0.2:53", "169.254.169.253:53"]);
        }
        network.adopt().await.unwrap();
        network.attach(&task(3), &eni("a", 12)).await.unwrap();
        assert!(after.try_recv().is_err(), "they are open already");
    });
}

#[test]
fn clearing_ends_the_life_of_the_sockets() {
    Lab::run(async |lab| {
        let (network, sockets) = served_network(&lab.instance);
        network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let mut first = sockets.try_recv().unwrap();
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, first.life.ended()).await.is_err(), "the VPC is there");
        network.clear().await.unwrap();
        tokio::time::timeout(WAIT, first.life.ended()).await.unwrap();
        network.attach(&task(1), &eni("a", 10)).await.unwrap();
        assert_eq!(sockets.try_recv().unwrap().vpc, first.vpc);
    });
}

#[test]
fn a_sandbox_does_not_reach_what_the_host_listens_on() {
    Lab::run(async |lab| {
        let at = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        let near = ip("-4 -o address show").lines().find_map(|line| {
            let address = line.split_whitespace().nth(3)?.split_once('/')?.0;
            address.starts_with("169.254.").then(|| address.parse::<Ipv4Addr>().unwrap())
        });
        let address = SocketAddr::from((near.unwrap(), 8080));
        let soon = Duration::from_millis(300);
        let reached = namespace::within(&at.namespace, || TcpStream::connect_timeout(&address, soon)).unwrap();
        assert_eq!(reached.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // It is the rule that keeps it: without it, the link leads there.
        let vpc = format!("neargate-{}-vpc-a", lab.instance);
        ip(&format!("netns exec {vpc} nft delete table inet neargate"));
        namespace::within(&at.namespace, || TcpStream::connect_timeout(&address, WAIT)).unwrap().unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn an_interface_counts_what_goes_through_it() {
    Lab::run(async |lab| {
        assert_eq!(lab.network.stats(&task(1)).await, None);
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        let before = lab.network.stats(&task(1)).await.unwrap();
        let server = serve(&at, eni.address, "hello");
        fetch(eni.address).unwrap();
        server.join().unwrap();
        let after = lab.network.stats(&task(1)).await.unwrap();
        assert!(after.rx_packets >= before.rx_packets + 3, "{before:?} {after:?}");
        assert!(after.tx_bytes > before.tx_bytes + 5, "{before:?} {after:?}");
        assert_eq!((after.rx_errors, after.tx_errors), (0, 0));
    });
}

#[test]
fn a_black_hole_takes_the_packets_of_its_port_until_it_is_stopped() {
    Lab::run(async |lab| {
        let eni = eni("a", 10);
        let at = lab.network.attach(&task(1), &eni).await.unwrap();
        let port = BlackholePort { port: 8080, protocol: Transport::Tcp, direction: Direction::Ingress };
        let (kind, address) = (FaultKind::BlackholePort(port), SocketAddr::from((eni.address, 8080)));
        let listener = sockets::listen(&at.namespace, address).unwrap();
        let soon = Duration::from_millis(300);
        let is_reached = || TcpStream::connect_timeout(&address, soon).is_ok();
        let is_there = async || lab.network.has_fault(&task(1), kind).await.unwrap();
        assert!(is_reached() && !is_there().await);
        for _ in 0..2 {
            let fault = Fault::BlackholePort { port, except: Vec::new() };
            lab.network.start_fault(&task(1), &fault).await.unwrap();
            assert!(!is_reached() && is_there().await);
        }
        let except = vec![IpRange::parse("169.254.192.0/18").unwrap()];
        lab.network.start_fault(&task(1), &Fault::BlackholePort { port, except }).await.unwrap();
        assert!(is_reached(), "the host is an exception");
        for _ in 0..2 {
            lab.network.stop_fault(&task(1), kind).await.unwrap();
            assert!(is_reached() && !is_there().await);
        }
        assert!(lab.network.has_fault(&task(2), kind).await.is_err(), "there is no such sandbox");
        drop(listener);
    });
}

#[test]
fn latency_is_there_or_refused_by_the_kernel_and_leaves_nothing_then() {
    Lab::run(async |lab| {
        let at = lab.network.attach(&task(1), &eni("a", 10)).await.unwrap();
        let scope =
            FaultScope { to: vec![IpRange::parse("0.0.0.0/0").unwrap()], except: Vec::new(), flows_percent: 100 };
        let started = lab.network.start_fault(&task(1), &Fault::Latency { delay_ms: 50, jitter_ms: 5, scope }).await;
        let is_there = lab.network.has_fault(&task(1), FaultKind::Latency).await.unwrap();
        assert_eq!(started.is_ok(), is_there);
        assert!(!lab.network.has_fault(&task(1), FaultKind::PacketLoss).await.unwrap());
        lab.network.stop_fault(&task(1), FaultKind::Latency).await.unwrap();
        assert!(ip_inside(&at.namespace, "-o link show eth1").contains("qdisc noqueue"));
    });
}
