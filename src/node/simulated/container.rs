//! A simulated container: everything that will become of it is planned at its start, and looked up when asked.

use std::sync::Arc;

use base::{TaskId, Timestamp};

use super::fate::{ExecFate, Fate, Reaction};
use crate::{ContainerState, ExitStatus, Image, OutputLine, OutputPage, Signal};

/// Signals whose default is to do nothing: CHLD, CONT, URG, WINCH.
const SIGNALS_WITHOUT_EFFECT: [Signal; 4] = [Signal(17), Signal(18), Signal(23), Signal(28)];

/// A container that was started.
pub(super) struct Container {
    /// Its sandbox.
    pub(super) sandbox: TaskId,
    /// Held as a real container holds its layers.
    _image: Arc<Image>,
    fate: Fate,
    started_at: Timestamp,
    /// Every line that it will write unless it ends before, by time.
    lines: Vec<Line>,
    /// How it will have ended, if nothing else happens.
    end: Option<ExitStatus>,
    /// How many bytes its runs before this one have written.
    written_before: u64,
}

struct Line {
    start: u64,
    end: u64,
    line: OutputLine,
}

impl Container {
    /// Starts a container now.
    pub(super) fn start(sandbox: TaskId, image: Arc<Image>, fate: Fate, now: Timestamp) -> Self {
        let (end, lines) = (end(&fate, now), lines(&fate, 0, now));
        Self { sandbox, _image: image, fate, started_at: now, lines, end, written_before: 0 }
    }

    /// Starts it anew if it ended at `ended_at`, and returns whether it did. What it has written stays readable.
    pub(super) fn restart(&mut self, ended_at: Timestamp, now: Timestamp) -> bool {
        if self.state(now).exit.is_none_or(|exit| exit.at != ended_at) {
            return false;
        }
        let written = self.written(now).count();
        self.lines.truncate(written);
        self.written_before = self.lines.last().map_or(self.written_before, |line| line.end);
        self.lines.extend(lines(&self.fate, self.written_before, now));
        (self.started_at, self.end) = (now, end(&self.fate, now));
        true
    }

    /// Returns what becomes of a process that is started in it now; none if it has ended.
    pub(super) fn exec(&self, now: Timestamp) -> Option<ExecFate> {
        self.state(now).exit.is_none().then(|| self.fate.exec(now.since(self.started_at)))
    }

    /// Returns when it will write, and when it will end, as planned now.
    pub(super) fn plan(&self) -> (Vec<Timestamp>, Option<Timestamp>) {
        let mut outputs = self.lines.iter().map(|line| line.line.at).collect::<Vec<_>>();
        outputs.dedup();
        (outputs, self.end_at())
    }

    /// Returns when it will end or has ended.
    pub(super) fn end_at(&self) -> Option<Timestamp> {
        self.end.as_ref().map(|end| end.at)
    }

    /// Tells what is to be seen of it now.
    pub(super) fn state(&self, now: Timestamp) -> ContainerState {
        let exit = self.end.clone().filter(|end| end.at <= now);
        let output_end = self.written(now).last().map_or(self.written_before, |line| line.end);
        ContainerState { started_at: self.started_at, exit, output_end }
    }

    /// Takes a signal. Returns whether it ends at another time because of it.
    pub(super) fn signal(&mut self, signal: Signal, now: Timestamp) -> bool {
        let (after, code) = match self.fate.reaction(signal) {
            Some(Reaction::Ignore) => return false,
            Some(Reaction::Exit { after, code }) => (after, code),
            None if SIGNALS_WITHOUT_EFFECT.contains(&signal) => return false,
            None => (std::time::Duration::ZERO, 128 + signal.0),
        };
        let at = now.plus(after);
        if self.end_at().is_some_and(|planned| planned <= at) {
            return false;
        }
        self.end = Some(ExitStatus { code, is_oom_killed: false, at });
        true
    }

    /// Reads whole lines from an offset on.
    pub(super) fn read(&self, from: u64, bytes_max: usize, now: Timestamp) -> OutputPage {
        let mut page = OutputPage { lines: Vec::new(), next: from };
        let mut bytes = 0;
        for line in self.written(now).filter(|line| line.start >= from) {
            bytes += line.line.bytes.len();
            if bytes > bytes_max && !page.lines.is_empty() {
                break;
            }
            page.lines.push(line.line.clone());
            page.next = line.end;
        }
        page
    }

    fn written(&self, now: Timestamp) -> impl Iterator<Item = &Line> {
        let until = self.end_at().map_or(now, |end| end.min(now));
        self.lines.iter().take_while(move |line| line.line.at <= until)
    }
}

/// Says how a container that starts now ends by itself.
fn end(fate: &Fate, now: Timestamp) -> Option<ExitStatus> {
    let end = fate.ends.iter().min_by_key(|end| end.after)?;
    Some(ExitStatus { code: end.code, is_oom_killed: end.is_oom_killed, at: now.plus(end.after) })
}

/// Lays the outputs of a fate out as lines from an offset on, by time and then as written; long lines in pieces.
fn lines(fate: &Fate, from: u64, now: Timestamp) -> Vec<Line> {
    let mut outputs = fate.outputs.iter().collect::<Vec<_>>();
    outputs.sort_by_key(|output| output.after);
    let mut lines = Vec::new();
    let mut start = from;
    for output in outputs {
        for text in output.text.split('\n') {
            let mut pieces = text.as_bytes().chunks(OutputLine::BYTES_MAX).map(<[u8]>::to_vec).collect::<Vec<_>>();
            if pieces.is_empty() {
                pieces.push(Vec::new());
            }
            for bytes in pieces {
                // One more than the bytes, for the line end: so that an empty line has an offset of its own.
                let end = start + bytes.len() as u64 + 1;
                let line = OutputLine { at: now.plus(output.after), stream: output.stream, bytes };
                lines.push(Line { start, end, line });
                start = end;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageConfig;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn started(script: &str) -> Container {
        let image = Image { digest: "sha256:0".to_owned(), config: ImageConfig::default(), layers: Vec::new() };
        Container::start(TaskId::new("t"), Arc::new(image), Fate::parse(script).unwrap(), at(0))
    }

    fn exit(container: &Container, now: i64) -> Option<(i32, i64)> {
        container.state(at(now)).exit.map(|exit| (exit.code, exit.at.as_millis()))
    }

    fn read(container: &Container, from: u64, bytes_max: usize, now: i64) -> (Vec<String>, u64) {
        let page = container.read(from, bytes_max, at(now));
        (page.lines.into_iter().map(|line| String::from_utf8(line.bytes).unwrap()).collect(), page.next)
    }

    #[test]
    fn without_a_script_it_runs_until_it_is_signalled() {
        let mut container = started("");
        assert_eq!(exit(&container, 1_000_000), None);
        assert!(container.signal(Signal::TERM, at(5)));
        assert_eq!(exit(&container, 5), Some((143, 5)));
        assert!(!container.signal(Signal::KILL, at(6)), "it has ended already");
        assert_eq!(exit(&container, 6), Some((143, 5)));
    }

    #[test]
    fn it_ends_at_the_earliest_of_its_ends_and_not_before() {
        let container = started("exit 1 after 3s; exit 2 after 2s");
        assert_eq!(exit(&container, 1_999), None);
        assert_eq!(exit(&container, 9_999), Some((2, 2_000)));
    }

    #[test]
    fn an_ignored_signal_changes_nothing_and_kill_ends_it() {
        let mut container = started("ignore TERM");
        assert!(!container.signal(Signal::TERM, at(5)));
        assert!(container.signal(Signal::KILL, at(9)));
        assert_eq!(exit(&container, 9), Some((137, 9)));
    }

    #[test]
    fn a_second_signal_does_not_put_the_end_off() {
        let mut container = started("exit 4 after 1s on TERM");
        assert!(container.signal(Signal::TERM, at(0)));
        assert!(!container.signal(Signal::TERM, at(500)));
        assert_eq!((exit(&container, 999), exit(&container, 1_000)), (None, Some((4, 1_000))));
    }

    #[test]
    fn a_signal_that_harms_nobody_harms_it_neither() {
        assert!(!started("").signal(Signal(28), at(0)));
    }

    #[test]
    fn too_much_memory_is_told_from_a_kill() {
        let status = started("oom after 1s").state(at(1_000)).exit.unwrap();
        assert_eq!((status.code, status.is_oom_killed), (137, true));
    }

    #[test]
    fn output_comes_at_its_time_and_is_read_from_any_offset() {
        let container = started("output late after 1s; output one; error \"two\\n\"");
        assert_eq!(container.state(at(0)).output_end, 9);
        assert_eq!(read(&container, 0, 1_000, 0), (vec!["one".to_owned(), "two".to_owned(), String::new()], 9));
        assert_eq!(read(&container, 0, 1, 0), (vec!["one".to_owned()], 4));
        assert_eq!(read(&container, 4, 3, 0), (vec!["two".to_owned(), String::new()], 9));
        assert_eq!(read(&container, 9, 1_000, 999), (Vec::new(), 9));
        assert_eq!(read(&container, 9, 1_000, 1_000), (vec!["late".to_owned()], 14));
        assert_eq!(read(&container, 99, 1_000, 1_000), (Vec::new(), 99));
    }

    #[test]
    fn a_restarted_container_lives_its_life_again_and_its_output_goes_on() {
        let mut container = started("output one; output never after 2s; exit 3 after 1s");
        assert!(!container.restart(at(1_000), at(999)), "it runs");
        assert!(!container.restart(at(999), at(5_000)), "it ended at another time");
        assert!(container.restart(at(1_000), at(5_000)));
        assert!(!container.restart(at(1_000), at(5_000)), "it runs again");
        assert_eq!((exit(&container, 5_999), exit(&container, 6_000)), (None, Some((3, 6_000))));
        assert_eq!(read(&container, 0, 1_000, 9_000), (vec!["one".to_owned(), "one".to_owned()], 8));
        assert_eq!(container.state(at(9_000)).output_end, 8);
    }

    #[test]
    fn nothing_can_be_started_in_a_container_that_has_ended() {
        let container = started("exec 4 after 1s; exit 0 after 2s");
        let code = |millis| container.exec(at(millis)).map(|fate| fate.code);
        assert_eq!([code(0), code(1_000), code(2_000)], [Some(Some(0)), Some(Some(4)), None]);
    }

    #[test]
    fn it_writes_nothing_after_its_end() {
        let container = started("output last after 1s; output never after 2s; exit 0 after 1s");
        assert_eq!(read(&container, 0, 1_000, 5_000), (vec!["last".to_owned()], 5));
        assert_eq!(container.state(at(5_000)).output_end, 5);
    }

    #[test]
    fn a_line_that_is_too_long_comes_in_pieces() {
        let container = started(&format!("output {}", "x".repeat(OutputLine::BYTES_MAX + 1)));
        let page = container.read(0, usize::MAX, at(0));
        assert_eq!(page.lines.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [OutputLine::BYTES_MAX, 1]);
    }
}
