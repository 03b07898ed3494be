//! `neargate serve` as a process: what it says, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A server on a port of its own; killed if a test leaves it running.
struct Server {
    child: Child,
    log: Receiver<String>,
}

impl Server {
    fn start(stdout: impl Into<Stdio>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_neargate"))
            .args(["serve", "--node", "simulated", "--listen", "127.0.0.1:0"])
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        Self { child, log }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a line of the log that has `text` in it.
    fn logged(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(WAIT_MAX).expect("the line comes in time");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for the end, which the log's end announces, and returns the exit code.
    fn code(mut self) -> Option<i32> {
        while self.log.recv_timeout(WAIT_MAX).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Begins a request that the server waits for when it stops.
fn half_sent(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").unwrap();
    let mut asked = [0; 12];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    stream
}

#[test]
fn a_second_signal_ends_a_shutdown_at_once() {
    let mut server = Server::start(Stdio::piped());
    let greeting = BufReader::new(server.child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut endpoints = greeting.filter_map(|line| Some(line.split_once("endpoint  http://")?.1.to_owned()));
    let _waited_for = half_sent(&endpoints.next().unwrap());
    server.signal(Signal::SIGTERM);
    server.logged("SIGTERM: stopping");
    server.signal(Signal::SIGINT);
    server.logged("SIGINT again");
    assert_eq!(server.code(), Some(130));
}

#[test]
fn a_server_whose_output_nobody_reads_serves() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let server = Server::start(writer);
    let line = server.logged("cannot say so");
    let port = line.split("127.0.0.1:").nth(1).expect("it says where it is");
    let port = port.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    write!(stream, "GET /_neargate/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.code(), Some(0));
}
