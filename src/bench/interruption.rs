//! Ctrl-C, after which what was started is still ended and taken away.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: i32) {
    IS_INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Lets SIGINT and SIGTERM be noted instead of ending this program.
pub(crate) fn note_signals() -> Result<()> {
    for each in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler does nothing but store to an atomic, which it may at any time.
        unsafe { signal(each, SigHandler::Handler(note)) }?;
    }
    Ok(())
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    ensure!(!IS_INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}
