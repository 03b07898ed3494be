//! A registry on loopback that tests make misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::digest::Digest;
use crate::test_archives::OciBuilder;

/// A request as it came, header names in lower case.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// After how many bytes of the body the connection ends.
    pub(crate) breaks_at: Option<usize>,
    /// How long it takes from byte to byte of the body.
    pub(crate) drips: Option<Duration>,
}

/// Says what is answered instead of what is right, given how often the same was asked before.
type Trouble = dyn Fn(&Asked, usize) -> Option<Reply> + Send + Sync;

/// A registry with one repository, `app`.
pub(crate) struct TestRegistry {
    pub(crate) address: String,
    content: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// Method and path of each request.
    log: Arc<Mutex<Vec<String>>>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Option<Self> {
        Some(Self { status, ..Self::default() })
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl TestRegistry {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| None)
    }

    pub(crate) fn with(trouble: impl Fn(&Asked, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content = Arc::<Mutex<HashMap<String, Vec<u8>>>>::default();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (served, noted, trouble) =
            (Arc::clone(&content), Arc::clone(&log), Arc::<Trouble>::from(Box::new(trouble) as Box<Trouble>));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, noted, trouble) = (Arc::clone(&served), Arc::clone(&noted), Arc::clone(&trouble));
                std::thread::spawn(move || serve(stream, &served, &noted, &*trouble));
            }
        });
        Self { address, content, log }
    }

    /// Adds an image as `tag`, and returns the digest of its manifest or index.
    pub(crate) fn push(&self, tag: &str, builder: OciBuilder, top: &serde_json::Value) -> String {
        let mut content = self.content.lock().unwrap();
        for (name, bytes) in builder.files {
            let digest = format!("sha256:{}", name.trim_start_matches("blobs/sha256/"));
            content.insert(format!("/v2/app/blobs/{digest}"), bytes.clone());
            content.insert(format!("/v2/app/manifests/{digest}"), bytes);
        }
        let digest = top["digest"].as_str().unwrap().to_owned();
        let document = content[&format!("/v2/app/manifests/{digest}")].clone();
        content.insert(format!("/v2/app/manifests/{tag}"), document);
        digest
    }

    pub(crate) fn name(&self, tag: &str) -> String {
        format!("{}/app:{tag}", self.address)
    }

    /// Takes what was asked since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn serve(stream: TcpStream, content: &Mutex<HashMap<String, Vec<u8>>>, log: &Mutex<Vec<String>>, trouble: &Trouble) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        let line = format!("{} {}", asked.method, asked.path);
        let before = {
            let mut log = log.lock().unwrap();
            log.push(line.clone());
            log.iter().filter(|known| **known == line).count() - 1
        };
        let reply = trouble(&asked, before).unwrap_or_else(|| right(&asked, &content.lock().unwrap()));
        if write(&stream, &asked, &reply).is_err() || reply.breaks_at.is_some() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Asked { method, path, headers, body })
}

fn right(asked: &Asked, content: &HashMap<String, Vec<u8>>) -> Reply {
    let Some(body) = content.get(&asked.path) else {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec();
        return Reply { status: 404, body, ..Reply::default() };
    };
    let digest = Digest::of(body).to_string();
    let reply = Reply { status: 200, body: body.clone(), ..Reply::default() }.header("docker-content-digest", digest);
    let range = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    match range.map(|start| start.parse::<usize>().unwrap()) {
        None => reply,
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
            Reply { status: 206, body: body[start..].to_vec(), ..reply }.header("content-range", range)
        }
    }
}

fn write(mut stream: &TcpStream, asked: &Asked, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if asked.method != "HEAD" {
        let body = &reply.body[..reply.breaks_at.unwrap_or(reply.body.len())];
        for piece in body.chunks(if reply.drips.is_some() { 1 } else { body.len().max(1) }) {
            stream.write_all(piece)?;
            if let Some(pause) = reply.drips {
                std::thread::park_timeout(pause);
            }
        }
    }
    stream.flush()
}
