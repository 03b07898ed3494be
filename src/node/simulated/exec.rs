//! Processes in simulated containers: they end at once, or never.

use base::ContainerId;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::fate::ExecFate;
use crate::{EXEC_PIECES_MAX, Exec, ExecInput, ExecOutput};

/// A process that does not end by itself; dropping it loses the process.
pub(super) struct Hanging {
    /// The container that it was started in.
    pub(super) container: ContainerId,
    /// Its ends of the channels.
    pub(super) ends: Ends,
}

/// The process's ends of the channels to whoever started it.
pub(super) type Ends = (mpsc::Sender<ExecOutput>, mpsc::Receiver<ExecInput>);

impl Hanging {
    /// Returns whether whoever started the process has kept it.
    pub(super) fn is_awaited(&self) -> bool {
        !self.ends.0.is_closed()
    }
}

/// Starts a process of that fate; if it does not end, its ends of the channels must be kept.
pub(super) fn start(fate: &ExecFate) -> (Exec, Option<Ends>) {
    let (input, read) = mpsc::channel(EXEC_PIECES_MAX);
    let (write, output) = mpsc::channel(EXEC_PIECES_MAX);
    let line = (!fate.text.is_empty()).then(|| ExecOutput::Stdout(Bytes::from(format!("{}\n", fate.text))));
    for piece in line.into_iter().chain(fate.code.map(ExecOutput::Exited)) {
        write.try_send(piece).expect("two pieces fit into an empty channel");
    }
    let is_endless = fate.code.is_none();
    (Exec { input, output }, is_endless.then_some((write, read)))
}
