//! Programs of the host that work on the calling thread's network namespace: `nft` and `tc`.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a program may say nothing, in milliseconds: the bound that ECS's agent has for a fault's commands.
const SILENCE_MAX_MS: u16 = 5_000;
/// How much a program may be given to read, in bytes: less than a pipe holds, so that writing it never waits for the program.
pub(crate) const INPUT_BYTES_MAX: usize = 64 * 1024;
/// How much of what a program says is kept.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What a program has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether it did what it was told.
    pub(crate) is_success: bool,
    /// What it wrote, to standard output and standard error.
    pub(crate) output: String,
}

/// Runs a program to its end in the calling thread's network namespace, and gives it `input` to read.
///
/// # Errors
///
/// It is not there; or [`io::ErrorKind::TimedOut`], and it is killed.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<Outcome> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot run `{program}`: {error}")))?;
    let talked = talk(&mut child, input);
    if talked.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(Outcome { is_success: status.success(), output: talked? })
}

fn talk(child: &mut Child, input: &str) -> io::Result<String> {
    if input.len() > INPUT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is given too much to read"));
    }
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // It has ended already, and says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        listen(stdout, &mut output)?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.by_ref().take(OUTPUT_BYTES_MAX as u64).read_to_end(&mut output)?;
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Reads until the program closes its output, which it does as it ends.
fn listen(mut stdout: ChildStdout, output: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while output.len() < OUTPUT_BYTES_MAX {
        let mut waiting = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(SILENCE_MAX_MS))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = stdout.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        output.extend_from_slice(&buffer[..count]);
    }
    Err(io::Error::other("it says too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_input_and_says_how_it_ended() {
        let outcome = run("sh", &["-c", "cat; echo no >&2; exit 3"], "yes ").unwrap();
        assert_eq!((outcome.is_success, outcome.output.as_str()), (false, "yes no\n"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run("neargate-no-such-program", &[], "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("`neargate-no-such-program`"), "{error}");
    }

    #[test]
    fn a_program_need_not_read_its_input() {
        assert!(run("true", &[], &"x".repeat(INPUT_BYTES_MAX)).unwrap().is_success);
        assert!(run("true", &[], &"x".repeat(INPUT_BYTES_MAX + 1)).is_err());
    }
}
