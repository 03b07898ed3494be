//! Faults of a sandbox's network: packet filter rules and queueing disciplines in its own namespace.
//!
//! The kernel holds them, and they go with the namespace. A black hole is a chain of nftables that bears the fault's
//! name. Latency and loss are `netem`, which not every kernel has, in a band of its own that only the packets to the
//! chosen addresses are put into.

use std::fmt::Write;
use std::io;

use node::{BlackholePort, Direction, Fault, FaultError, FaultKind, FaultScope, IpRange, Transport};

use crate::failure::During;
use crate::program;

/// The table of the black holes.
const TABLE: &str = "inet neargate_faults";
/// The sandbox's interface.
const DEVICE: &str = "eth1";
/// Where the metadata of tasks is: no black hole takes a task's way to what ends it.
const ALWAYS_REACHED: &str = "169.254.170.2/32";
/// The port of that.
const ALWAYS_REACHED_PORT: u16 = 80;
/// All connections, in percent.
const ALL_FLOWS: u8 = 100;

/// Starts a fault in the calling thread's namespace.
pub(crate) fn start(fault: &Fault, subject: &str) -> Result<(), FaultError> {
    match fault {
        Fault::BlackholePort { port, except } => nft(&blackhole(port, except), subject),
        Fault::Latency { delay_ms, jitter_ms, scope } => {
            impair(&format!("delay {delay_ms}ms {jitter_ms}ms"), scope, subject)
        }
        Fault::PacketLoss { percent, scope } => impair(&format!("loss {percent}%"), scope, subject),
    }
}

/// Ends a fault in the calling thread's namespace.
pub(crate) fn stop(kind: FaultKind, subject: &str) -> Result<(), FaultError> {
    if !is_there(kind, subject)? {
        return Ok(());
    }
    match kind {
        FaultKind::BlackholePort(port) => nft(&format!("delete chain {TABLE} {}\n", chain(&port)), subject),
        FaultKind::Latency | FaultKind::PacketLoss => clean_up(subject),
    }
}

/// Says whether a fault is in the calling thread's namespace.
pub(crate) fn is_there(kind: FaultKind, subject: &str) -> Result<bool, FaultError> {
    match kind {
        FaultKind::BlackholePort(port) => {
            let arguments = format!("list chain {TABLE} {}", chain(&port));
            run("nft", &arguments, "", subject).map(|outcome| outcome.is_success)
        }
        FaultKind::Latency => Ok(shown(subject)?.contains(" delay ")),
        FaultKind::PacketLoss => Ok(shown(subject)?.contains(" loss ")),
    }
}

/// Names the chain of a black hole.
fn chain(port: &BlackholePort) -> String {
    let direction = match port.direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    format!("{direction}-{}-{}", protocol(port.protocol), port.port)
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// Writes the rules of a black hole. Said twice, they are the same as said once.
fn blackhole(port: &BlackholePort, except: &[IpRange]) -> String {
    let chain = chain(port);
    let (hook, side) = match port.direction {
        Direction::Ingress => ("input", "saddr"),
        Direction::Egress => ("output", "daddr"),
    };
    let packets = format!("{} dport {}", protocol(port.protocol), port.port);
    let mut script = format!(
        "add table {TABLE}\n\
         add chain {TABLE} {chain} {{ type filter hook {hook} priority -10; policy accept; }}\n\
         flush chain {TABLE} {chain}\n"
    );
    if port.direction == Direction::Egress && port.port == ALWAYS_REACHED_PORT {
        let _ = writeln!(script, "add rule {TABLE} {chain} ip {side} {ALWAYS_REACHED} {packets} accept");
    }
    for range in except {
        let family = if range.address.is_ipv4() { "ip" } else { "ip6" };
        let _ = writeln!(script, "add rule {TABLE} {chain} {family} {side} {range} {packets} accept");
    }
    let _ = writeln!(script, "add rule {TABLE} {chain} {packets} drop");
    script
}

/// Puts the packets of the scope through `netem`.
fn impair(netem: &str, scope: &FaultScope, subject: &str) -> Result<(), FaultError> {
    if scope.flows_percent != ALL_FLOWS {
        return refused("hit a part of the connections", subject, "only all connections can be hit here");
    }
    let set = match run("tc", "-batch -", &queues(netem, scope), subject) {
        Ok(outcome) if outcome.is_success => return Ok(()),
        Ok(outcome) => refused("set the queues", subject, &outcome.output),
        Err(error) => Err(error),
    };
    // What there is of the queues by now would count as a fault that runs.
    if let Err(error) = clean_up(subject) {
        tracing::warn!(%error, subject, "a part of a fault stays");
    }
    set
}

/// Writes the queues: a band with `netem`, one beside it for everything else, and who goes where.
fn queues(netem: &str, scope: &FaultScope) -> String {
    let bands = ["2"; 16].join(" ");
    let mut commands = format!(
        "qdisc add dev {DEVICE} root handle 1: prio priomap {bands}\n\
         qdisc add dev {DEVICE} parent 1:1 handle 10: netem {netem}\n"
    );
    let ranges = scope.except.iter().map(|range| (1, 3, range)).chain(scope.to.iter().map(|range| (2, 1, range)));
    for (priority, band, range) in ranges {
        let family = if range.address.is_ipv4() { "ip" } else { "ip6" };
        let filter = format!("protocol all parent 1:0 prio {priority} u32 match {family} dst {range} flowid 1:{band}");
        let _ = writeln!(commands, "filter add dev {DEVICE} {filter}");
    }
    commands
}

fn shown(subject: &str) -> Result<String, FaultError> {
    let outcome = run("tc", &format!("qdisc show dev {DEVICE}"), "", subject)?;
    if !outcome.is_success {
        return refused("look at the queues", subject, &outcome.output);
    }
    Ok(outcome.output.lines().filter(|line| line.contains("netem")).collect::<Vec<_>>().join("\n"))
}

/// Takes all queues of ours away; there may be none.
fn clean_up(subject: &str) -> Result<(), FaultError> {
    run("tc", &format!("qdisc del dev {DEVICE} root"), "", subject).map(drop)
}

fn nft(script: &str, subject: &str) -> Result<(), FaultError> {
    let outcome = run("nft", "-f -", script, subject)?;
    if outcome.is_success { Ok(()) } else { refused("filter the packets", subject, &outcome.output) }
}

fn run(name: &str, arguments: &str, input: &str, subject: &str) -> Result<program::Outcome, FaultError> {
    match program::run(name, &arguments.split(' ').collect::<Vec<_>>(), input) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(FaultError::TimedOut),
        other => Ok(other.during("make a fault", subject)?),
    }
}

fn refused<T>(action: &'static str, subject: &str, why: &str) -> Result<T, FaultError> {
    Ok(Err::<T, _>(why.trim()).during(action, subject)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpRange> {
        texts.iter().map(|text| IpRange::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_black_hole_spares_its_exceptions_and_the_way_to_the_metadata() {
        let port = BlackholePort { port: 80, protocol: Transport::Tcp, direction: Direction::Egress };
        let script = blackhole(&port, &ranges(&["10.0.0.0/8", "::1"]));
        let rules = script.lines().skip(3).map(|line| line.split_once("egress-tcp-80 ").unwrap().1).collect::<Vec<_>>();
        assert_eq!(
            rules,
            [
                "ip daddr 169.254.170.2/32 tcp dport 80 accept",
                "ip daddr 10.0.0.0/8 tcp dport 80 accept",
                "ip6 daddr ::1/128 tcp dport 80 accept",
                "tcp dport 80 drop",
            ]
        );
    }

    #[test]
    fn what_comes_in_is_told_by_its_source() {
        let port = BlackholePort { port: 53, protocol: Transport::Udp, direction: Direction::Ingress };
        let script = blackhole(&port, &ranges(&["10.0.0.1"]));
        assert!(script.contains("ingress-udp-53 { type filter hook input"), "{script}");
        assert!(script.contains("ip saddr 10.0.0.1/32 udp dport 53 accept"), "{script}");
    }

    #[test]
    fn a_program_is_told_all_of_the_longest_list_at_once() {
        let range = IpRange::parse("1111:2222:3333:4444:5555:6666:7777:8888/128").unwrap();
        let list = vec![range; IpRange::LIST_MAX];
        let scope = FaultScope { to: list.clone(), except: list.clone(), flows_percent: 100 };
        let port = BlackholePort { port: 65_535, protocol: Transport::Tcp, direction: Direction::Ingress };
        let longest = [queues("delay 18446744073709551615ms 18446744073709551615ms", &scope), blackhole(&port, &list)];
        assert!(longest.iter().all(|script| script.len() < program::INPUT_BYTES_MAX), "{}", longest[0].len());
    }

    #[test]
    fn exceptions_are_sorted_out_before_the_rest() {
        let scope = FaultScope { to: ranges(&["0.0.0.0/0"]), except: ranges(&["10.0.0.1"]), flows_percent: 100 };
        let commands = queues("loss 7%", &scope);
        let commands = commands.lines().collect::<Vec<_>>();
        assert!(commands[1].ends_with("netem loss 7%"), "{commands:?}");
        assert!(commands[2].ends_with("prio 1 u32 match ip dst 10.0.0.1/32 flowid 1:3"), "{commands:?}");
        assert!(commands[3].ends_with("prio 2 u32 match ip dst 0.0.0.0/0 flowid 1:1"), "{commands:?}");
    }
}
