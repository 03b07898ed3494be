//! One side of a data channel: numbers what it sends, keeps it until it is acknowledged, and puts what it receives in
//! order. Pure: who calls it sends and receives, and tells it when time has passed.

use std::collections::{BTreeMap, VecDeque};

use base::{Ids, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{FIN, Frame, FrameError, Kind, PayloadKind, SYN};

/// The longest piece that is sent: what AWS's agent and client send.
pub(crate) const PIECE_BYTES_MAX: usize = 1024;
/// The frames that may be under way before an acknowledgement has come.
const UNACKNOWLEDGED_MAX: usize = 256;
/// The frames that are kept because one before them is missing.
const EARLY_MAX: usize = 256;
/// How many ticks a frame is under way before it is sent again, twice as many after each time. A tick is [`TICK_MS`].
const TICKS_TO_RESEND: u32 = 2;
/// The most of them: what is sent again and again must not fill a line that is only slow. The second of AWS's client.
const TICKS_TO_RESEND_MAX: u32 = 10;
/// How often a frame is sent again before the other side is given up: about five minutes, as by AWS's client.
const RESENDS_MAX: u32 = 300;
/// How often time is to be told to pass while frames are under way, in milliseconds.
pub(crate) const TICK_MS: u64 = 100;

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The side of the process.
    Agent,
    /// The side of the user.
    Client,
}

impl Side {
    fn sends(self) -> Kind {
        match self {
            Self::Agent => Kind::OutputStreamData,
            Self::Client => Kind::InputStreamData,
        }
    }

    fn receives(self) -> Kind {
        match self {
            Self::Agent => Kind::InputStreamData,
            Self::Client => Kind::OutputStreamData,
        }
    }
}

/// One side.
#[derive(Debug)]
pub(crate) struct Peer {
    side: Side,
    ids: Ids,
    next_sent: i64,
    next_expected: i64,
    under_way: VecDeque<UnderWay>,
    early: BTreeMap<i64, (PayloadKind, Bytes)>,
    is_paused: bool,
}

#[derive(Debug)]
struct UnderWay {
    sequence: i64,
    bytes: Bytes,
    ticks: u32,
    resends: u32,
}

/// What a frame from the other side comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// What is to be sent back.
    pub(crate) replies: Vec<Bytes>,
    /// Payloads, in their order.
    pub(crate) payloads: Vec<(PayloadKind, Bytes)>,
    /// That the other side has closed the channel, and what it says to that.
    pub(crate) closed: Option<String>,
}

/// The other side has acknowledged nothing for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side acknowledges nothing")]
pub(crate) struct Unreachable;

/// The payload of an acknowledgement.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Acknowledgement {
    acknowledged_message_type: String,
    acknowledged_message_id: String,
    acknowledged_message_sequence_number: i64,
    is_sequential_message: bool,
}

/// The payload of a frame that closes the channel.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Closing {
    message_id: String,
    created_date: String,
    destination_id: String,
    session_id: String,
    message_type: String,
    schema_version: u32,
    output: String,
}

impl Peer {
    pub(crate) fn new(side: Side, ids: Ids) -> Self {
        let (next_sent, next_expected) = (0, 0);
        let (under_way, early) = (VecDeque::new(), BTreeMap::new());
        Self { side, ids, next_sent, next_expected, under_way, early, is_paused: false }
    }

    /// Returns whether more may be sent now.
    pub(crate) fn may_send(&self) -> bool {
        !self.is_paused && self.under_way.len() < UNACKNOWLEDGED_MAX
    }

    /// Returns how many frames have not been acknowledged.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Returns whether all that was sent has been acknowledged.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Makes the next frame of a payload, which is under way from now on.
    pub(crate) fn send(&mut self, payload_kind: PayloadKind, payload: Bytes, now: Timestamp) -> Bytes {
        let sequence = self.next_sent;
        self.next_sent += 1;
        let flags = if sequence == 0 { SYN } else { 0 };
        let frame = self.frame(self.side.sends(), sequence, flags, payload_kind, payload, now);
        let bytes = frame.encode();
        self.under_way.push_back(UnderWay { sequence, bytes: bytes.clone(), ticks: 0, resends: 0 });
        bytes
    }

    /// Makes the frames of bytes of any number.
    pub(crate) fn send_pieces(&mut self, payload_kind: PayloadKind, bytes: &Bytes, now: Timestamp) -> Vec<Bytes> {
        let pieces = (0..bytes.len()).step_by(PIECE_BYTES_MAX);
        pieces
            .map(|from| bytes.slice(from..bytes.len().min(from + PIECE_BYTES_MAX)))
            .map(|piece| self.send(payload_kind, piece, now))
            .collect()
    }

    /// Makes the frame that closes the channel.
    pub(crate) fn close(&self, session: &str, output: &str, now: Timestamp) -> Bytes {
        let closing = Closing {
            message_id: self.ids.uuid(),
            created_date: now.to_string(),
            destination_id: session.to_owned(),
            session_id: session.to_owned(),
            message_type: Kind::ChannelClosed.as_str().to_owned(),
            schema_version: 1,
            output: output.to_owned(),
        };
        let payload = serde_json::to_vec(&closing).expect("it has only strings and numbers");
        self.frame(Kind::ChannelClosed, 0, SYN | FIN, PayloadKind::Undefined, payload.into(), now).encode()
    }

    /// Takes a frame. With `has_room` false, payloads are left for the other side to send again.
    pub(crate) fn receive(&mut self, bytes: &Bytes, has_room: bool, now: Timestamp) -> Result<Received, FrameError> {
        let frame = Frame::decode(bytes)?;
        let mut received = Received::default();
        match frame.kind {
            Kind::Acknowledge => self.take_acknowledgement(&frame),
            Kind::StartPublication => self.is_paused = false,
            Kind::PausePublication => self.is_paused = true,
            Kind::ChannelClosed => {
                let closing = serde_json::from_slice::<Closing>(&frame.payload).unwrap_or_default();
                received.closed = Some(closing.output);
            }
            kind if kind == self.side.receives() => self.take_payload(frame, has_room, now, &mut received),
            // It is for the other side.
            Kind::InputStreamData | Kind::OutputStreamData => {}
        }
        Ok(received)
    }

    fn take_acknowledgement(&mut self, frame: &Frame) {
        // One that cannot be read acknowledges nothing; the frame is sent again.
        let Ok(acknowledgement) = serde_json::from_slice::<Acknowledgement>(&frame.payload) else { return };
        let sequence = acknowledgement.acknowledged_message_sequence_number;
        self.under_way.retain(|frame| frame.sequence != sequence);
    }

    fn take_payload(&mut self, frame: Frame, has_room: bool, now: Timestamp, received: &mut Received) {
        let is_next = frame.sequence == self.next_expected;
        let is_early = frame.sequence > self.next_expected;
        if is_next && !has_room || is_early && self.early.len() >= EARLY_MAX {
            return;
        }
        // What has been taken before is acknowledged again: the first acknowledgement may have come too late.
        received.replies.push(self.acknowledge(&frame, is_next, now));
        if is_early {
            self.early.insert(frame.sequence, (frame.payload_kind, frame.payload));
        } else if is_next {
            let mut next = Some((frame.payload_kind, frame.payload));
            while let Some(payload) = next {
                received.payloads.push(payload);
                self.next_expected += 1;
                next = self.early.remove(&self.next_expected);
            }
        }
    }

    fn acknowledge(&self, frame: &Frame, is_sequential: bool, now: Timestamp) -> Bytes {
        let acknowledgement = Acknowledgement {
            acknowledged_message_type: frame.kind.as_str().to_owned(),
            acknowledged_message_id: uuid(frame.id),
            acknowledged_message_sequence_number: frame.sequence,
            is_sequential_message: is_sequential,
        };
        let payload = serde_json::to_vec(&acknowledgement).expect("it has only strings and numbers");
        self.frame(Kind::Acknowledge, 0, SYN | FIN, PayloadKind::Undefined, payload.into(), now).encode()
    }

    /// Notes that a tick has passed. Returns the frame to send again, if there is one: the first of those under way, as what
    /// follows it can do nothing without it.
    pub(crate) fn tick(&mut self) -> Result<Option<Bytes>, Unreachable> {
        let Some(first) = self.under_way.front_mut() else { return Ok(None) };
        first.ticks += 1;
        let wait = TICKS_TO_RESEND.saturating_mul(2_u32.saturating_pow(first.resends)).min(TICKS_TO_RESEND_MAX);
        if self.is_paused || first.ticks < wait {
            return Ok(None);
        }
        first.ticks = 0;
        first.resends += 1;
        if first.resends > RESENDS_MAX {
            return Err(Unreachable);
        }
        Ok(Some(first.bytes.clone()))
    }

    fn frame(
        &self,
        kind: Kind,
        sequence: i64,
        flags: u64,
        payload_kind: PayloadKind,
        payload: Bytes,
        now: Timestamp,
    ) -> Frame {
        let created_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        Frame { kind, created_ms, sequence, flags, id: self.ids.bits(), payload_kind, payload }
    }
}

/// Writes a UUID's bits as its text.
fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn pair() -> (Peer, Peer) {
        (Peer::new(Side::Agent, Ids::system()), Peer::new(Side::Client, Ids::system()))
    }

    fn texts(received: &Received) -> Vec<String> {
        received.payloads.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    fn say(peer: &mut Peer, text: &'static str) -> Bytes {
        peer.send(PayloadKind::Output, Bytes::from_static(text.as_bytes()), NOW)
    }

    #[test]
    fn what_one_side_sends_arrives_and_is_acknowledged() {
        let (mut agent, mut client) = pair();
        let frame = say(&mut agent, "hi");
        assert_eq!(Frame::decode(&frame).unwrap().flags, SYN);
        assert!(!agent.is_all_acknowledged());
        let received = client.receive(&frame, true, NOW).unwrap();
        assert_eq!(texts(&received), ["hi"]);
        let [reply] = &received.replies[..] else { panic!("one acknowledgement") };
        assert_eq!(agent.receive(reply, true, NOW).unwrap(), Received::default());
        assert!(agent.is_all_acknowledged());
        assert_eq!(agent.tick(), Ok(None));
    }

    #[test]
    fn an_acknowledgement_names_what_has_arrived() {
        let (mut agent, mut client) = pair();
        say(&mut agent, "0");
        let frame = say(&mut agent, "1");
        let reply = Frame::decode(&client.receive(&frame, true, NOW).unwrap().replies[0]).unwrap();
        assert_eq!((reply.kind, reply.sequence, reply.flags), (Kind::Acknowledge, 0, SYN | FIN));
        let json = serde_json::from_slice::<serde_json::Value>(&reply.payload).unwrap();
        let expected = serde_json::json!({
            "AcknowledgedMessageType": "output_stream_data",
            "AcknowledgedMessageId": uuid(Frame::decode(&frame).unwrap().id),
            "AcknowledgedMessageSequenceNumber": 1,
            "IsSequentialMessage": false,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn frames_come_in_order_and_once_whatever_their_way() {
        let (mut agent, mut client) = pair();
        let frames = ["a", "b", "c"].map(|text| say(&mut agent, text));
        let receive = |client: &mut Peer, index: usize| texts(&client.receive(&frames[index], true, NOW).unwrap());
        assert!(receive(&mut client, 2).is_empty());
        assert_eq!(receive(&mut client, 0), ["a"]);
        assert!(receive(&mut client, 0).is_empty());
        assert_eq!(receive(&mut client, 1), ["b", "c"]);
        assert!(receive(&mut client, 2).is_empty());
    }

    #[test]
    fn what_there_is_no_room_for_is_left_to_be_sent_again() {
        let (mut agent, mut client) = pair();
        let frame = say(&mut agent, "a");
        assert_eq!(client.receive(&frame, false, NOW).unwrap(), Received::default());
        assert_eq!(agent.tick(), Ok(None));
        assert_eq!(agent.tick(), Ok(Some(frame.clone())));
        assert_eq!(texts(&client.receive(&frame, true, NOW).unwrap()), ["a"]);
    }

    #[test]
    fn early_frames_are_bounded() {
        let (mut agent, mut client) = pair();
        say(&mut agent, "never arrives");
        let answered = |client: &mut Peer, frame: &Bytes| client.receive(frame, true, NOW).unwrap().replies.len();
        for _ in 0..EARLY_MAX {
            assert_eq!(answered(&mut client, &say(&mut agent, "early")), 1);
        }
        assert_eq!(answered(&mut client, &say(&mut agent, "too early")), 0);
    }

    #[test]
    fn the_other_side_is_given_up_after_so_many_resends() {
        let (mut agent, _) = pair();
        say(&mut agent, "a");
        let mut resent_at = Vec::new();
        let given_up_at = (1..10_000).find(|tick| match agent.tick() {
            Ok(resent) => {
                resent_at.extend(resent.map(|_| *tick));
                false
            }
            Err(Unreachable) => true,
        });
        assert_eq!((resent_at.len(), &resent_at[..6]), (RESENDS_MAX as usize, &[2, 6, 14, 24, 34, 44][..]));
        assert_eq!(given_up_at, resent_at.last().map(|last| last + TICKS_TO_RESEND_MAX));
    }

    #[test]
    fn sending_stops_while_too_much_is_under_way_or_the_other_side_pauses_it() {
        let (mut agent, client) = pair();
        for _ in 0..UNACKNOWLEDGED_MAX {
            assert!(agent.may_send());
            say(&mut agent, "a");
        }
        assert!(!agent.may_send());
        let (mut agent, _) = pair();
        let say = |kind| client.frame(kind, 0, 0, PayloadKind::Undefined, Bytes::new(), NOW).encode();
        agent.receive(&say(Kind::PausePublication), true, NOW).unwrap();
        assert!(!agent.may_send());
        agent.receive(&say(Kind::StartPublication), true, NOW).unwrap();
        assert!(agent.may_send());
    }

    #[test]
    fn long_output_goes_in_pieces() {
        let (mut agent, _) = pair();
        let frames = agent.send_pieces(PayloadKind::Output, &vec![7; 2 * PIECE_BYTES_MAX + 1].into(), NOW);
        let lengths = frames.iter().map(|frame| Frame::decode(frame).unwrap().payload.len());
        assert_eq!(lengths.collect::<Vec<_>>(), [PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]);
        assert!(agent.send_pieces(PayloadKind::Output, &Bytes::new(), NOW).is_empty());
    }

    #[test]
    fn the_end_says_why() {
        let (agent, mut client) = pair();
        let received = client.receive(&agent.close("s-1", "bye", NOW), true, NOW).unwrap();
        assert_eq!(received.closed.as_deref(), Some("bye"));
    }
}
