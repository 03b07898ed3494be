//! What a request wants of a fault, checked as ECS's agent checks it. Pure.

use node::{BlackholePort, Direction, Fault, FaultKind, FaultScope, IpRange, Transport};

use crate::go_json::{Members, ReadError};
use crate::path::FaultName;

/// The most of a hundred.
const PERCENT_MAX: u64 = 100;

/// Reads the fault that is to be started.
pub(crate) fn fault(name: FaultName, body: &[u8]) -> Result<Fault, String> {
    match name {
        FaultName::BlackholePort => {
            let members = members("NetworkBlackholePortRequest", body)?;
            let except = members.texts("SourcesToFilter")?;
            Ok(Fault::BlackholePort { port: blackhole(&members)?, except: ranges(&except, "SourcesToFilter")? })
        }
        FaultName::Latency => {
            let members = members("NetworkLatencyRequest", body)?;
            let read = |name| members.number(name, "uint64", u64::MAX);
            let (delay, jitter) = (read("DelayMilliseconds")?, read("JitterMilliseconds")?);
            let scope = Scope::read(&members)?;
            Ok(Fault::Latency {
                delay_ms: required(delay, "DelayMilliseconds")?,
                jitter_ms: required(jitter, "JitterMilliseconds")?,
                scope: scope.check()?,
            })
        }
        FaultName::PacketLoss => {
            let members = members("NetworkPacketLossRequest", body)?;
            let percent = members.number("LossPercent", "uint64", u64::MAX)?;
            let scope = Scope::read(&members)?;
            let percent = percentage(required(percent, "LossPercent")?, "LossPercent")?;
            Ok(Fault::PacketLoss { percent, scope: scope.check()? })
        }
    }
}

/// Reads which fault is meant. Only black holes are told apart by what the body says; of the others there is one.
pub(crate) fn kind(name: FaultName, body: &[u8]) -> Result<FaultKind, String> {
    match name {
        FaultName::BlackholePort => fault(name, body).map(|fault| fault.kind()),
        FaultName::Latency => Ok(FaultKind::Latency),
        FaultName::PacketLoss => Ok(FaultKind::PacketLoss),
    }
}

fn members(of: &'static str, body: &[u8]) -> Result<Members, String> {
    Members::read(of, body).map_err(|error| match error {
        ReadError::Empty => "required request body is missing".to_owned(),
        ReadError::Malformed(why) => why,
    })
}

fn blackhole(members: &Members) -> Result<BlackholePort, String> {
    let port = members.number("Port", "uint16", u16::MAX.into())?;
    let (protocol, traffic) = (members.text("Protocol")?, members.text("TrafficType")?);
    let port = u16::try_from(required(port, "Port")?).map_err(|_| invalid("Port", "Port"))?;
    let protocol = required(protocol.filter(|text| !text.is_empty()), "Protocol")?;
    let traffic = required(traffic.filter(|text| !text.is_empty()), "TrafficType")?;
    let transport = match protocol.as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        other => return Err(invalid(other, "Protocol")),
    };
    let direction = match traffic.as_str() {
        "ingress" => Direction::Ingress,
        "egress" => Direction::Egress,
        other => return Err(invalid(other, "TrafficType")),
    };
    Ok(BlackholePort { port, protocol: transport, direction })
}

/// The scope of a fault before it is checked: all of a body is read before any of it is.
struct Scope {
    to: Vec<String>,
    except: Vec<String>,
    flows_percent: Option<u64>,
}

impl Scope {
    fn read(members: &Members) -> Result<Self, String> {
        Ok(Self {
            to: members.texts("Sources")?,
            except: members.texts("SourcesToFilter")?,
            flows_percent: members.number("FlowsPercent", "uint64", u64::MAX)?,
        })
    }

    fn check(self) -> Result<FaultScope, String> {
        let to = required(Some(self.to).filter(|to| !to.is_empty()), "Sources")?;
        Ok(FaultScope {
            to: ranges(&to, "Sources")?,
            except: ranges(&self.except, "SourcesToFilter")?,
            flows_percent: percentage(self.flows_percent.unwrap_or(PERCENT_MAX), "FlowsPercent")?,
        })
    }
}

fn ranges(texts: &[String], name: &str) -> Result<Vec<IpRange>, String> {
    // The kernel is told of each. (The agent's own limit, and its wording, are unverified.)
    if let Some(first_beyond) = texts.get(IpRange::LIST_MAX) {
        return Err(invalid(first_beyond, name));
    }
    texts.iter().map(|text| IpRange::parse(text).ok_or_else(|| invalid(text, name))).collect()
}

fn percentage(number: u64, name: &str) -> Result<u8, String> {
    let percent = u8::try_from(number).ok().filter(|_| (1..=PERCENT_MAX).contains(&number));
    percent.ok_or_else(|| invalid(&number.to_string(), name))
}

fn required<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("required parameter {name} is missing"))
}

fn invalid(value: &str, name: &str) -> String {
    format!("invalid value {value} for parameter {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        use FaultName::{BlackholePort, Latency, PacketLoss};
        for (name, body, error) in [
            (BlackholePort, "", "required request body is missing"),
            (BlackholePort, "{}", "required parameter Port is missing"),
            (BlackholePort, r#"{"Port": 1}"#, "required parameter Protocol is missing"),
            (BlackholePort, r#"{"Port": 1, "Protocol": ""}"#, "required parameter Protocol is missing"),
            (BlackholePort, r#"{"Port": 1, "Protocol": "tcp"}"#, "required parameter TrafficType is missing"),
            (
                BlackholePort,
                r#"{"Port": 1, "Protocol": "sctp", "TrafficType": "x"}"#,
                "invalid value sctp for parameter Protocol",
            ),
            (
                BlackholePort,
                r#"{"Port": 1, "Protocol": "udp", "TrafficType": "both"}"#,
                "invalid value both for parameter TrafficType",
            ),
            (
                BlackholePort,
                r#"{"Port": 1, "Protocol": "udp", "TrafficType": "egress", "SourcesToFilter": ["10/8"]}"#,
                "invalid value 10/8 for parameter SourcesToFilter",
            ),
            (
                BlackholePort,
                r#"{"Port": 65536}"#,
                "json: cannot unmarshal number 65536 into Go struct field NetworkBlackholePortRequest.Port of type uint16",
            ),
            (Latency, "{}", "required parameter DelayMilliseconds is missing"),
            (Latency, r#"{"DelayMilliseconds": 1}"#, "required parameter JitterMilliseconds is missing"),
            (
                Latency,
                r#"{"DelayMilliseconds": 1, "JitterMilliseconds": 1, "Sources": []}"#,
                "required parameter Sources is missing",
            ),
            (
                Latency,
                r#"{"DelayMilliseconds": 1, "JitterMilliseconds": 1, "Sources": ["x"]}"#,
                "invalid value x for parameter Sources",
            ),
            (
                Latency,
                r#"{"DelayMilliseconds": 1, "JitterMilliseconds": 1, "Sources": ["::/0"], "FlowsPercent": 0}"#,
                "invalid value 0 for parameter FlowsPercent",
            ),
            (PacketLoss, "{}", "required parameter LossPercent is missing"),
            (PacketLoss, r#"{"LossPercent": 101}"#, "invalid value 101 for parameter LossPercent"),
            (PacketLoss, r#"{"LossPercent": 0}"#, "invalid value 0 for parameter LossPercent"),
            (PacketLoss, r#"{"LossPercent": 5}"#, "required parameter Sources is missing"),
        ] {
            assert_eq!(fault(name, body.as_bytes()), Err(error.to_owned()), "{body}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let request = |count: usize| {
            let list = (0..count).map(|number| format!("10.0.{}.{}", number / 256, number % 256)).collect::<Vec<_>>();
            let body = serde_json::json!({ "LossPercent": 1, "Sources": list });
            fault(FaultName::PacketLoss, body.to_string().as_bytes())
        };
        assert!(request(IpRange::LIST_MAX).is_ok());
        assert_eq!(request(IpRange::LIST_MAX + 1), Err("invalid value 10.0.0.200 for parameter Sources".to_owned()));
    }

    #[test]
    fn a_whole_request_is_a_fault() {
        let body = br#"{"Port": 80, "Protocol": "tcp", "TrafficType": "ingress", "SourcesToFilter": ["10.0.0.1"]}"#;
        let port = BlackholePort { port: 80, protocol: Transport::Tcp, direction: Direction::Ingress };
        let except = vec![IpRange::parse("10.0.0.1").unwrap()];
        assert_eq!(fault(FaultName::BlackholePort, body), Ok(Fault::BlackholePort { port, except }));
        assert_eq!(kind(FaultName::BlackholePort, body), Ok(FaultKind::BlackholePort(port)));
        let to = vec![IpRange::parse("0.0.0.0/0").unwrap()];
        let scope = FaultScope { to, except: Vec::new(), flows_percent: 100 };
        let body = br#"{"LossPercent": 100, "Sources": ["0.0.0.0/0"]}"#;
        let expected = Fault::PacketLoss { percent: 100, scope: scope.clone() };
        assert_eq!(fault(FaultName::PacketLoss, body), Ok(expected));
        let body = br#"{"DelayMilliseconds": 10, "JitterMilliseconds": 0, "Sources": ["0.0.0.0/0"]}"#;
        assert_eq!(fault(FaultName::Latency, body), Ok(Fault::Latency { delay_ms: 10, jitter_ms: 0, scope }));
        assert_eq!(kind(FaultName::Latency, b"nonsense"), Ok(FaultKind::Latency));
    }
}
