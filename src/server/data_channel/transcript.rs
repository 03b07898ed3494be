//! What is kept of a session: what its process wrote, in CloudWatch Logs line by line, and in S3 at the end.

use std::sync::Arc;

use base::{Clock, Scope};
use state::State;
use state::ecs::ExecSession;
use state::logs::StreamName;

/// The longest line that is kept as one event: CloudWatch Logs' limit for an event, less its 26 bytes of overhead.
const LINE_BYTES_MAX: usize = 256 * 1024 - 26;
/// How much of a session is kept in S3.
const OBJECT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// What a terminal's commands begin with.
const ESCAPE: u8 = 0x1b;

/// Keeps what a session's process writes.
pub(crate) struct Transcript {
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    stream: Option<(Scope, StreamName)>,
    object: Option<(String, String)>,
    plain: PlainText,
    line: Vec<u8>,
    all: Vec<u8>,
}

impl Transcript {
    /// Begins a transcript. As with AWS's agent, a log group that is not there is no reason not to open the session: then
    /// nothing is kept.
    pub(crate) fn begin(state: &Arc<State>, clock: &Arc<dyn Clock>, session: &ExecSession) -> Self {
        let stream = session.transcript.log_group.as_ref().and_then(|(scope, group)| {
            if state.logs.groups.get(scope, group).is_none() {
                tracing::warn!(session = session.id, group, "the session is not logged: there is no such log group");
                return None;
            }
            let name = StreamName { group: group.clone(), stream: session.id.clone() };
            state.logs.make_stream(scope, &name, clock.now());
            Some((scope.clone(), name))
        });
        let object = session.transcript.bucket.as_ref().map(|(bucket, prefix)| {
            let prefix = prefix.trim_matches('/');
            let name = format!("{}.log", session.id);
            (bucket.clone(), if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
        });
        Self {
            state: Arc::clone(state),
            clock: Arc::clone(clock),
            stream,
            object,
            plain: PlainText::default(),
            line: Vec::new(),
            all: Vec::new(),
        }
    }

    /// Keeps what the process wrote.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.stream.is_none() && self.object.is_none() {
            return;
        }
        for byte in bytes {
            let Some(plain) = self.plain.take(*byte) else { continue };
            if self.object.is_some() && self.all.len() < OBJECT_BYTES_MAX {
                self.all.push(plain);
            }
            if self.stream.is_some() {
                match plain {
                    b'\n' => self.end_line(),
                    plain => self.line.push(plain),
                }
                if self.line.len() >= LINE_BYTES_MAX {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        let Some((scope, name)) = &self.stream else { return };
        let line = std::mem::take(&mut self.line);
        // Empty lines are no events.
        if line.is_empty() {
            return;
        }
        let now = self.clock.now();
        let text = String::from_utf8_lossy(&line);
        // A stream that was deleted meanwhile takes the rest along, as one of a container does.
        self.state.logs.with_events_of(scope, name, |events| events.append(now, now, text.into()));
    }

    /// Keeps what is left, and puts the whole into S3. Blocks on the disk.
    pub(crate) fn end(mut self) {
        self.end_line();
        let Some((bucket, key)) = &self.object else { return };
        if let Err(error) = self.state.s3.write(bucket, key, "text/plain", &self.all, self.clock.now()) {
            tracing::warn!(bucket, key, %error, "the session is not kept in its bucket");
        }
    }
}

/// Takes out of a terminal's output what moves and colours, and leaves what it shows.
#[derive(Debug, Default)]
enum PlainText {
    #[default]
    Text,
    /// After an escape.
    Escape,
    /// Within a command that ends with a letter or the like.
    Command,
    /// Within a text for the terminal itself, such as its title.
    Title,
    /// The same after an escape, which with the next byte ends it.
    TitleEscape,
}

impl PlainText {
    fn take(&mut self, byte: u8) -> Option<u8> {
        let (next, shown) = match (&self, byte) {
            (Self::Text, ESCAPE) => (Self::Escape, None),
            (Self::Text, b'\n' | b'\t' | 0x20..=0x7e | 0x80..) => (Self::Text, Some(byte)),
            (Self::Text, _) => (Self::Text, None),
            (Self::Escape, b'[') => (Self::Command, None),
            (Self::Escape, b']' | b'P' | b'_' | b'^' | b'X') => (Self::Title, None),
            // Intermediate bytes, such as those that choose a character set.
            (Self::Escape, 0x20..=0x2f) => (Self::Escape, None),
            (Self::Escape, _) => (Self::Text, None),
            (Self::Command, 0x40..=0x7e) => (Self::Text, None),
            (Self::Command, _) => (Self::Command, None),
            (Self::Title, 0x07) => (Self::Text, None),
            (Self::Title, ESCAPE) => (Self::TitleEscape, None),
            (Self::Title, _) => (Self::Title, None),
            (Self::TitleEscape, _) => (Self::Text, None),
        };
        *self = next;
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        let mut plain = PlainText::default();
        String::from_utf8(text.bytes().filter_map(|byte| plain.take(byte)).collect()).unwrap()
    }

    #[test]
    fn only_what_a_terminal_shows_is_left() {
        for (written, shown) in [
            ("plain ä\ttext\r\n", "plain ä\ttext\n"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07prompt$ ", "prompt$ "),
            ("\x1b]8;;x\x1b\\link", "link"),
            ("\x1b(Bset\x1b=", "set"),
            ("bell\x07\x08\x00", "bell"),
        ] {
            assert_eq!(plain(written), shown);
        }
    }
}
