//! From the bytes of a question to the bytes of its answer, as far as it can be answered here.

use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zone::{Endpoints, Known, Zone};

/// How long an answer may be remembered, in seconds: what AWS's resolver says of its own names.
const TTL_SECONDS: u32 = 60;
/// The longest answer over UDP, unless the question allows more.
const UDP_BYTES_DEFAULT: u16 = 512;
/// The longest answer over UDP that a question can allow.
const UDP_BYTES_MAX: u16 = 4096;
/// The length of a message's head.
const HEAD_BYTES: usize = 12;

/// How a question came, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This is the answer.
    Answer(Vec<u8>),
    /// Others are to be asked.
    Forward,
    /// Nothing is answered to what is no question.
    Drop,
}

/// Decides about a message.
pub(super) fn decide(bytes: &[u8], transport: Transport, zone: &Zone, endpoints: &Endpoints) -> Verdict {
    let Ok(question) = Message::from_vec(bytes) else {
        // An answer to an answer would go round for ever.
        let is_question = bytes.len() >= HEAD_BYTES && bytes[2] & 0x80 == 0;
        return if is_question { Verdict::Answer(unreadable(bytes)) } else { Verdict::Drop };
    };
    if question.metadata.message_type != MessageType::Query {
        return Verdict::Drop;
    }
    let refuse = |code| encode(&answer(&question, code, Vec::new()), transport, &question);
    if question.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    if question.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refuse(ResponseCode::BADVERS);
    }
    let [query] = question.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
    if query.query_class() != DNSClass::IN {
        return Verdict::Forward;
    }
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    match zone.look_up(&name, endpoints) {
        Known::Elsewhere => Verdict::Forward,
        Known::Missing => refuse(ResponseCode::NXDomain),
        Known::Address(address) => {
            let data = wants(query, RecordType::A).then_some(RData::A(A(address)));
            encode(&answer(&question, ResponseCode::NoError, records(query, data)), transport, &question)
        }
        Known::Name(name) => {
            let name = Name::from_str(&format!("{name}.")).ok().filter(|_| wants(query, RecordType::PTR));
            let data = name.map(|name| RData::PTR(PTR(name)));
            encode(&answer(&question, ResponseCode::NoError, records(query, data)), transport, &question)
        }
    }
}

/// Answers that nobody could be asked.
pub(super) fn failure(bytes: &[u8], transport: Transport) -> Verdict {
    let Ok(question) = Message::from_vec(bytes) else { return Verdict::Drop };
    encode(&answer(&question, ResponseCode::ServFail, Vec::new()), transport, &question)
}

fn wants(query: &Query, kind: RecordType) -> bool {
    [kind, RecordType::ANY].contains(&query.query_type())
}

fn records(query: &Query, data: Option<RData>) -> Vec<Record> {
    data.map(|data| Record::from_rdata(query.name().clone(), TTL_SECONDS, data)).into_iter().collect()
}

fn answer(question: &Message, code: ResponseCode, records: Vec<Record>) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = code;
    answer.queries.clone_from(&question.queries);
    answer.answers = records;
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        edns.set_rcode_high(code.high());
        answer.edns = Some(edns);
    }
    answer
}

/// Writes an answer; one that is too long for UDP says so, and the question comes again over TCP.
fn encode(answer: &Message, transport: Transport, question: &Message) -> Verdict {
    let bytes_max = match (transport, &question.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(UDP_BYTES_DEFAULT, UDP_BYTES_MAX),
        (Transport::Udp, None) => UDP_BYTES_DEFAULT,
    };
    let written = match answer.to_vec() {
        Ok(bytes) if bytes.len() > usize::from(bytes_max) => answer.truncate().to_vec(),
        other => other,
    };
    written.map_or(Verdict::Drop, Verdict::Answer)
}

/// Answers a question of which only the head can be read.
fn unreadable(bytes: &[u8]) -> Vec<u8> {
    let id = u16::from_be_bytes([bytes[0], bytes[1]]);
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.queries = vec![Query::query(Name::from_str(name).unwrap(), kind)];
        message
    }

    fn verdict(question: &Message) -> Verdict {
        let zone = Zone::new([("ip-172-31-0-9.ec2.internal".to_owned(), Ipv4Addr::new(172, 31, 0, 9))]);
        decide(&question.to_vec().unwrap(), Transport::Udp, &zone, &Endpoints::new(["ecs".to_owned()]))
    }

    fn answered(question: &Message) -> Message {
        let Verdict::Answer(bytes) = verdict(question) else { panic!("it is not answered") };
        Message::from_vec(&bytes).unwrap()
    }

    fn shown(question: &Message) -> (ResponseCode, Vec<String>) {
        let answer = answered(question);
        assert_eq!((answer.metadata.id, answer.metadata.message_type), (7, MessageType::Response));
        assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
        assert_eq!(answer.queries, question.queries);
        (answer.metadata.response_code, answer.answers.iter().map(|record| record.data.to_string()).collect())
    }

    #[test]
    fn a_question_for_a_known_name_has_its_address_and_no_other_record() {
        let name = "IP-172-31-0-9.ec2.INTERNAL.";
        assert_eq!(shown(&ask(name, RecordType::A)), (ResponseCode::NoError, vec!["172.31.0.9".to_owned()]));
        assert_eq!(shown(&ask(name, RecordType::AAAA)), (ResponseCode::NoError, vec![]));
        let turned = "9.0.31.172.in-addr.arpa.";
        let expected = (ResponseCode::NoError, vec!["ip-172-31-0-9.ec2.internal.".to_owned()]);
        assert_eq!(shown(&ask(turned, RecordType::PTR)), expected);
        let endpoint = shown(&ask("ecs.us-east-1.amazonaws.com.", RecordType::A));
        assert_eq!(endpoint, (ResponseCode::NoError, vec!["169.254.170.2".to_owned()]));
    }

    #[test]
    fn a_name_that_only_a_vpc_could_have_does_not_exist() {
        let question = ask("ip-10-0-0-1.ec2.internal.", RecordType::A);
        assert_eq!(shown(&question), (ResponseCode::NXDomain, vec![]));
    }

    #[test]
    fn other_names_and_classes_are_for_others() {
        assert_eq!(verdict(&ask("example.com.", RecordType::MX)), Verdict::Forward);
        let mut question = ask("ip-172-31-0-9.ec2.internal.", RecordType::A);
        question.queries[0].set_query_class(DNSClass::CH);
        assert_eq!(verdict(&question), Verdict::Forward);
    }

    #[test]
    fn what_is_no_question_of_ours_is_refused() {
        let mut update = ask("x.ec2.internal.", RecordType::A);
        update.metadata.op_code = OpCode::Status;
        assert_eq!(answered(&update).metadata.response_code, ResponseCode::NotImp);
        let mut two = ask("x.ec2.internal.", RecordType::A);
        two.queries.push(two.queries[0].clone());
        assert_eq!(answered(&two).metadata.response_code, ResponseCode::FormErr);
        let mut answer = ask("x.ec2.internal.", RecordType::A);
        answer.metadata.message_type = MessageType::Response;
        assert_eq!(verdict(&answer), Verdict::Drop);
    }

    #[test]
    fn what_cannot_be_read_is_told_so_if_it_may_be_a_question() {
        let (zone, endpoints) = (Zone::default(), Endpoints::default());
        let decide = |bytes: &[u8]| decide(bytes, Transport::Udp, &zone, &endpoints);
        let Verdict::Answer(bytes) = decide(&[0, 7, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0]) else { panic!("it is dropped") };
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!((answer.metadata.id, answer.metadata.response_code), (7, ResponseCode::FormErr));
        assert_eq!(decide(&[0, 7, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0]), Verdict::Drop);
        assert_eq!(decide(b"short"), Verdict::Drop);
    }

    #[test]
    fn extensions_are_answered_in_their_own_version_only() {
        let mut question = ask("ip-172-31-0-9.ec2.internal.", RecordType::A);
        question.set_edns(Edns::new());
        assert_eq!(answered(&question).edns.unwrap().max_payload(), UDP_BYTES_MAX);
        question.edns.as_mut().unwrap().set_version(1);
        // The number 16 has two names.
        assert_eq!(u16::from(answered(&question).metadata.response_code), u16::from(ResponseCode::BADVERS));
    }

    #[test]
    fn an_answer_that_is_too_long_for_its_transport_is_cut() {
        let question = ask("x.example.", RecordType::A);
        let record =
            |last| Record::from_rdata(question.queries[0].name().clone(), 1, RData::A(A([10, 0, 0, last].into())));
        let long = answer(&question, ResponseCode::NoError, (0..100).map(record).collect());
        let read = |transport| match encode(&long, transport, &question) {
            Verdict::Answer(bytes) => (bytes.len(), Message::from_vec(&bytes).unwrap().metadata.truncation),
            other => panic!("{other:?}"),
        };
        assert!(matches!(read(Transport::Udp), (0..=512, true)));
        assert!(matches!(read(Transport::Tcp), (1000.., false)));
    }

    #[test]
    fn a_failure_keeps_the_question() {
        let question = ask("example.com.", RecordType::A);
        let Verdict::Answer(bytes) = failure(&question.to_vec().unwrap(), Transport::Udp) else { panic!("dropped") };
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!((answer.metadata.response_code, answer.queries), (ResponseCode::ServFail, question.queries));
    }
}
