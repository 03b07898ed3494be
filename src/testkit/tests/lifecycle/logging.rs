//! Log drivers: events of several lines, output that comes fast, log routers, Splunk.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use crate::bench::{BOTH, Bench, FARGATE, LOG_GROUP, SIMULATED, container, container_with, id_of, text};

crate::scenarios! {
    BOTH => [
        lines_are_joined_to_events_as_their_pattern_says,
        an_event_that_nothing_follows_comes_in_time,
        a_pattern_that_is_none_fails_the_task,
    ],
    SIMULATED => [
        a_router_gets_the_output_of_the_others_and_ends_last,
        output_for_a_router_that_has_ended_is_given_up,
        a_collector_that_does_not_answer_holds_nobody_up,
    ],
    FARGATE => [
        fast_output_is_complete_where_the_container_waits,
        a_real_router_gets_the_output_of_the_others,
        splunk_gets_events_again_until_it_takes_them,
        a_collector_that_is_not_there_fails_the_task,
    ],
}

/// The first argument that makes this binary a log router.
pub(crate) const ROUTER: &str = "log-router";
const ROUTER_IMAGE: &str = "router:test";
/// Less than a collector has to answer.
const PROMPT: Duration = Duration::from_secs(12);

fn with_option(mut container: Value, name: &str, value: &str) -> Value {
    container["logConfiguration"]["options"][name] = json!(value);
    container
}

async fn lines_are_joined_to_events_as_their_pattern_says(bench: &Bench) {
    let app = container(
        "app",
        "echo '# one'; echo ' a'; echo; echo ' b'; echo '# two'",
        "output \"# one\\n a\\n\\n b\\n# two\"; exit 0",
    );
    let arn = bench.start(&[with_option(app, "awslogs-multiline-pattern", "^#")]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["# one\n a\n\n b\n", "# two\n"]);

    let app = container(
        "app",
        "echo '2026-11-21 one'; echo ' a'; echo '2026-11-22 two'",
        "output \"2026-11-21 one\\n a\\n2026-11-22 two\"; exit 0",
    );
    let arn = bench.start(&[with_option(app, "awslogs-datetime-format", "%Y-%m-%d")]).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["2026-11-21 one\n a\n", "2026-11-22 two\n"]);
}

async fn an_event_that_nothing_follows_comes_in_time(bench: &Bench) {
    let app =
        container("app", "trap 'exit 0' TERM; echo '# one'; echo two; sleep 600 & wait", "output \"# one\\ntwo\"");
    let arn = bench.start(&[with_option(app, "awslogs-multiline-pattern", "^#")]).await;
    bench.until_line("app", &arn, "# one\ntwo\n").await;
    assert_eq!(bench.task(&arn).await["lastStatus"], "RUNNING");
    bench.stop(&arn).await;
    bench.until_stopped(&arn).await;
    assert_eq!(bench.log("app", &arn).await, ["# one\ntwo\n"], "it comes once");
}

async fn a_pattern_that_is_none_fails_the_task(bench: &Bench) {
    let app = container("app", "echo not run", "output \"not run\"; exit 0");
    let arn = bench.start(&[with_option(app, "awslogs-multiline-pattern", "(")]).await;
    let task = bench.until_stopped(&arn).await;
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = text(&task["stoppedReason"]);
    assert!(reason.starts_with("ResourceInitializationError: failed to validate logger args: awslogs"), "{reason}");
}

async fn fast_output_is_complete_where_the_container_waits(bench: &Bench) {
    const LINES: usize = 100_000;
    let app = with_option(container("app", &format!("seq {LINES}"), "exit 0"), "mode", "blocking");
    let arn = bench.start(&[app]).await;
    bench.until_stopped(&arn).await;
    let stream = format!("test/app/{}", id_of(&arn));
    let (mut next, mut token) = (1, None::<String>);
    loop {
        let mut input = json!({ "logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": true });
        if let Some(token) = &token {
            input["nextToken"] = json!(token);
        }
        let page = bench.kit.ask("logs", "GetLogEvents", &input).await;
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["message"], next.to_string());
            next += 1;
        }
        let forward = Some(text(&page["nextForwardToken"]));
        if forward == token {
            break;
        }
        token = forward;
    }
    assert_eq!(next, LINES + 1);
}

/// Defines a router, and a container that writes to it.
fn routed(router: Value, app: Value) -> [Value; 2] {
    let (mut router, mut app) = (router, app);
    router["firelensConfiguration"] = json!({ "type": "fluentbit" });
    app["logConfiguration"] =
        json!({ "logDriver": "awsfirelens", "options": { "Name": "stdout", "mode": "blocking" } });
    [app, router]
}

async fn a_router_gets_the_output_of_the_others_and_ends_last(bench: &Bench) {
    let router = container_with("router", "", "exit 0 after 1s on TERM", &json!({ "essential": false }));
    let app = container("app", "", "output \"one\\ntwo\"; exit 0 after 1s on TERM");
    let arn = bench.start(&routed(router, app)).await;
    bench.until(&arn, "RUNNING").await;
    bench.stop(&arn).await;
    let task = bench.until_stopped(&arn).await;
    let ids = |name: &str| {
        let containers = task["containers"].as_array().unwrap();
        text(&containers.iter().find(|container| container["name"] == name).unwrap()["runtimeId"])
    };
    let forwarded = bench.kit.node().unwrap().forwarded();
    let lines = forwarded.iter().flat_map(|(_, batch)| &batch.lines);
    let lines = lines.map(|line| String::from_utf8(line.bytes.clone()).unwrap()).collect::<Vec<_>>();
    assert_eq!(lines, ["one", "two"]);
    for (router, batch) in &forwarded {
        assert_eq!((router.as_str(), &*batch.tag), (&*ids("router"), &*format!("app-firelens-{}", id_of(&arn))));
        let labels = [("container_id", ids("app")), ("container_name", "app".to_owned())];
        assert_eq!(batch.labels, labels.map(|(name, value)| (name.to_owned(), value)));
    }
}

async fn output_for_a_router_that_has_ended_is_given_up(bench: &Bench) {
    let router = container_with("router", "", "exit 1", &json!({ "essential": false }));
    let app = container("app", "", "output lost after 1s; exit 0 after 2s");
    let arn = bench.start(&routed(router, app)).await;
    bench.until_stopped(&arn).await;
    assert!(bench.kit.node().unwrap().forwarded().is_empty());
}

async fn a_real_router_gets_the_output_of_the_others(bench: &Bench) {
    load_router(bench).await;
    let mut router = container_with("router", "", "", &json!({ "essential": false, "image": ROUTER_IMAGE }));
    router["entryPoint"] = json!(["/router", ROUTER]);
    router.as_object_mut().unwrap().remove("command");
    let app = container("app", "echo $FLUENT_HOST $FLUENT_PORT; echo oops >&2; seq 1000; echo -n end", "");
    let parameter = json!({ "Name": "/password", "Value": "open sesame", "Type": "SecureString" });
    bench.kit.ask("ssm", "PutParameter", &parameter).await;
    let mut containers = routed(router, app);
    containers[0]["logConfiguration"]["secretOptions"] = json!([{ "name": "http_Passwd", "valueFrom": "/password" }]);
    let arn = bench.start(&containers).await;
    let task = bench.until_stopped(&arn).await;
    let log = bench.log("router", &arn).await;
    let (configuration, records) = log.split_at(log.iter().position(|line| line == "listening").unwrap());
    for expected in ["    Match app-firelens*", "    http_Passwd ${FIRELENS_APP_HTTP_PASSWD}", "open sesame"] {
        assert!(configuration.iter().any(|line| line == expected), "{configuration:?}");
    }
    let tag = format!("app-firelens-{}", id_of(&arn));
    let numbers = (1..=1000).map(|number| number.to_string());
    let written = ["127.0.0.1 24224".to_owned()].into_iter().chain(numbers).chain(["end".to_owned()]);
    let stdout = records.iter().filter(|line| line.contains(" stdout ")).cloned().collect::<Vec<_>>();
    assert_eq!(stdout, written.map(|line| format!("{tag} app stdout {line}")).collect::<Vec<_>>(), "{task}");
    assert!(records.contains(&format!("{tag} app stderr oops")));
    assert_eq!(records.last().map(String::as_str), Some("ended"), "the router ends last, and was asked to");
}

/// Loads an image whose program is this very one.
async fn load_router(bench: &Bench) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let program = std::env::current_exe().unwrap();
    fs::create_dir_all(root.join("fluent-bit/etc")).unwrap();
    fs::copy(&program, root.join("router")).unwrap();
    let libraries = Command::new("ldd").arg(&program).output().unwrap().stdout;
    for path in String::from_utf8(libraries).unwrap().split_whitespace().filter(|word| word.starts_with('/')) {
        let inside = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::copy(path, inside).unwrap();
    }
    let archive = folder.path().join("root.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    tar.append_dir_all(".", &root).unwrap();
    tar.into_inner().unwrap();
    bench.kit.emulator().node().images.load(&archive, Some(ROUTER_IMAGE)).await.unwrap();
}

/// Works as a log router: shows its configuration, and then what it is handed, a line for each record.
pub(crate) fn route() -> ExitCode {
    let mut out = std::io::stdout();
    out.write_all(&fs::read("/fluent-bit/etc/fluent-bit.conf").unwrap()).unwrap();
    let listener = UnixListener::bind("/var/run/fluent.sock").unwrap();
    writeln!(out, "\n{}\nlistening", std::env::var("FIRELENS_APP_HTTP_PASSWD").unwrap()).unwrap();
    serve(listener);
    writeln!(out, "ended").unwrap();
    ExitCode::SUCCESS
}

/// Serves connections until the process is asked to end.
fn serve(listener: UnixListener) {
    let mut asked = SigSet::empty();
    asked.add(Signal::SIGTERM);
    asked.thread_block().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            take(stream.unwrap());
        }
    });
    asked.wait().unwrap();
}

/// Takes one message: its tag, its records and its option, of which nothing is longer than a test needs.
fn take(stream: UnixStream) {
    let mut reader = BufReader::new(stream);
    let message = read(&mut reader);
    let (tag, mut out) = (text(&message[0]), std::io::stdout());
    for entry in message[1].as_array().unwrap() {
        let record = &entry[1];
        let [name, source, log] = ["container_name", "source", "log"].map(|field| text(&record[field]));
        writeln!(out, "{tag} {name} {source} {log}").unwrap();
    }
    let chunk = text(&message[2]["chunk"]);
    let mut answer = b"\x81\xa3ack".to_vec();
    answer.push(0xa0 | u8::try_from(chunk.len()).unwrap());
    answer.extend_from_slice(chunk.as_bytes());
    reader.get_mut().write_all(&answer).unwrap();
}

/// Reads a value of MessagePack.
fn read(reader: &mut impl Read) -> Value {
    let kind = usize::try_from(number(reader, 1)).unwrap();
    let length = |reader: &mut _, bytes| usize::try_from(number(reader, bytes)).unwrap();
    match kind {
        0x00..=0x7f => json!(kind),
        0x80..=0x8f => map(reader, kind & 15),
        0x90..=0x9f => array(reader, kind & 15),
        0xa0..=0xbf => string(reader, kind & 31),
        0xcc => json!(number(reader, 1)),
        0xcd => json!(number(reader, 2)),
        0xce => json!(number(reader, 4)),
        0xd7 => {
            assert_eq!(number(reader, 1), 0, "only the protocol's own time");
            json!(number(reader, 8))
        }
        0xd9..=0xdb => {
            let length = length(reader, 1 << (kind - 0xd9));
            string(reader, length)
        }
        0xdc..=0xdd => {
            let length = length(reader, 2 << (kind - 0xdc));
            array(reader, length)
        }
        other => panic!("{other:#x} is not known"),
    }
}

fn number(reader: &mut impl Read, bytes: usize) -> u64 {
    let mut number = [0; 8];
    reader.read_exact(&mut number[8 - bytes..]).unwrap();
    u64::from_be_bytes(number)
}

fn string(reader: &mut impl Read, length: usize) -> Value {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    json!(String::from_utf8(bytes).unwrap())
}

fn array(reader: &mut impl Read, length: usize) -> Value {
    (0..length).map(|_| read(reader)).collect()
}

fn map(reader: &mut impl Read, length: usize) -> Value {
    (0..length).map(|_| (text(&read(reader)), read(reader))).collect()
}

/// Defines a container that writes to Splunk at that address.
fn to_splunk(url: &str, command: &str) -> Value {
    let mut app = container("app", command, "");
    app["logConfiguration"] = json!({ "logDriver": "splunk", "options": {
        "splunk-url": url,
        "splunk-token": "t0",
        "splunk-sourcetype": "test",
        "splunk-format": "json",
        "tag": "{{.Name}}",
    } });
    app
}

async fn splunk_gets_events_again_until_it_takes_them(bench: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&taken);
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            // The first request asks whether anybody is there, and the second is refused.
            let status = if count == 1 { "503 Busy" } else { "200 OK" };
            let body = answer(stream.unwrap(), status);
            if status == "200 OK" {
                into.lock().unwrap().extend(body);
            }
        }
    });
    let arn = bench.start(&[to_splunk(&url, "echo '{\"a\":1}'; seq 2500")]).await;
    bench.until_stopped(&arn).await;
    let taken = taken.lock().unwrap().clone();
    let events = serde_json::Deserializer::from_slice(&taken).into_iter::<Value>().map(Result::unwrap);
    let events = events.collect::<Vec<_>>();
    let lines = events.iter().map(|event| event["event"]["line"].clone()).collect::<Vec<_>>();
    let expected = [json!({ "a": 1 })].into_iter().chain((1..=2500).map(|number| json!(number))).collect::<Vec<_>>();
    assert_eq!(lines, expected);
    assert_eq!((&events[0]["sourcetype"], &events[0]["event"]["tag"]), (&json!("test"), &json!("app")));
}

async fn a_collector_that_does_not_answer_holds_nobody_up(bench: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&held);
    std::thread::spawn(move || {
        answer(listener.accept().unwrap().0, "200 OK");
        // From then on it only listens; and once that one is let go, nobody does.
        into.lock().unwrap().extend(listener.accept().ok());
    });
    let mut silent = to_splunk(&url, "");
    silent["name"] = json!("silent");
    silent["environment"] = json!([{ "name": "NEARGATE_SIMULATE", "value": "output kept" }]);
    let arn = bench.start(&[silent, container("app", "", "output one; output two after 10s")]).await;
    let beside = async {
        bench.until_line("app", &arn, "two").await;
        let other = bench.start(&[container("app", "", "output hello; exit 0")]).await;
        bench.until_stopped(&other).await;
    };
    tokio::time::timeout(PROMPT, beside).await.expect("nobody waits for the collector");
    assert_eq!(std::mem::take(&mut *held.lock().unwrap()).len(), 1, "it was asked");
}

/// Answers one request, and returns its body.
fn answer(stream: TcpStream, status: &str) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut body) = (String::new(), Vec::new());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return body;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.resize(length.unwrap_or(0), 0);
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
    body
}

async fn a_collector_that_is_not_there_fails_the_task(bench: &Bench) {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let arn = bench.start(&[to_splunk(&format!("http://{nobody}"), "echo not run")]).await;
    let task = bench.until_stopped(&arn).await;
    let reason = text(&task["stoppedReason"]);
    assert!(reason.starts_with("ResourceInitializationError: failed to validate logger args: splunk: "), "{reason}");
    assert!(!reason.contains("t0"), "{reason}");
}
