//! Bodies that are streamed: larger than what a request may hold in memory.

use std::path::PathBuf;
use std::time::Duration;

use base::Timestamp;
use server::Limits;
use state::s3::{Description, Object, Piece};

use crate::site::{Response, Site, WAIT_MAX};

/// How a test names itself as S3's client, in one region and account.
const SIGNED: &str =
    "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, Signature=0\r\n";

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{SIGNED}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn site() -> Site {
    // An object larger than this shows that its body is not gathered.
    let limits = Limits { body_bytes: 1024, bodies_bytes: 4096, ..Limits::default() };
    let site = Site::start(limits).await;
    assert_eq!(site.ask(&request("PUT", "/web", "", "")).await.status, 200);
    site
}

#[track_caller]
fn assert_header(reply: &Response, expected: &str) {
    let head = reply.head.to_ascii_lowercase();
    assert!(head.contains(&format!("\r\n{expected}\r\n")), "{head}");
}

#[tokio::test]
async fn an_object_may_be_larger_than_any_body_in_memory() {
    let site = site().await;
    let body = "0123456789".repeat(70_000);
    let reply = site.ask(&request("PUT", "/web/big", "", &body)).await;
    assert_eq!(reply.status, 200);
    let reply = site.ask(&request("GET", "/web/big", "", "")).await;
    assert_eq!((reply.status, reply.text()), (200, body.clone()));
    assert_header(&reply, "content-length: 700000");
    let reply = site.ask(&request("GET", "/web/big", "Range: bytes=262140-262149\r\n", "")).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "0123456789"));
}

#[tokio::test]
async fn a_body_in_chunks_is_taken_apart_and_checked() {
    let site = site().await;
    let headers = "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nContent-Encoding: aws-chunked\r\n\
                   x-amz-decoded-content-length: 9\r\nx-amz-trailer: x-amz-checksum-crc32\r\n";
    let body = "4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    let reply = site.ask(&request("PUT", "/web/chunked", headers, body)).await;
    assert_eq!(reply.status, 200);
    assert_header(&reply, "x-amz-checksum-crc32: y/q5jg==");
    assert_eq!(site.ask(&request("GET", "/web/chunked", "", "")).await.text(), "123456789");
    let reply = site.ask(&request("PUT", "/web/other", headers, &body.replace("y/Q5", "AAAA"))).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("<Code>BadDigest</Code>"), "{}", reply.text());
    assert_eq!(site.ask(&request("HEAD", "/web/other", "", "")).await.status, 404);
}

#[tokio::test]
async fn a_client_that_waits_to_go_on_with_nothing_gets_a_connection_that_closes() {
    let site = site().await;
    let mut connection = site.connect().await;
    connection.send(&request("PUT", "/web/empty", "Expect: 100-continue\r\n", "")).await;
    let reply = connection.reply().await;
    assert_eq!(reply.status, 200);
    assert_header(&reply, "connection: close");
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let limits = Limits { body_timeout: crate::SHORT, ..Limits::default() };
    let site = Site::start(limits).await;
    assert_eq!(site.ask(&request("PUT", "/web", "", "")).await.status, 200);
    let mut connection = site.connect().await;
    let head = format!("PUT /web/k HTTP/1.1\r\nHost: localhost\r\n{SIGNED}Content-Length: 10\r\n\r\n12345");
    connection.send(&head).await;
    let reply = tokio::time::timeout(WAIT_MAX, connection.reply()).await.expect("the body is given up in time");
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("<Code>RequestTimeout</Code>"), "{}", reply.text());
}

#[tokio::test]
async fn a_body_that_only_trickles_is_given_up() {
    let limits = Limits { body_timeout: crate::SHORT, ..Limits::default() };
    let site = Site::start(limits).await;
    assert_eq!(site.ask(&request("PUT", "/web", "", "")).await.status, 200);
    let mut connection = site.connect().await;
    connection
        .send(&format!("PUT /web/k HTTP/1.1\r\nHost: localhost\r\n{SIGNED}Content-Length: 1000000000\r\n\r\n"))
        .await;
    let mut ticks = tokio::time::interval(crate::SHORT / 4);
    let reply = tokio::time::timeout(WAIT_MAX, async {
        loop {
            tokio::select! {
                reply = connection.reply() => return reply,
                _ = ticks.tick() => connection.send("12345").await,
            }
        }
    });
    let reply = reply.await.expect("the body is given up in time");
    assert!(reply.text().contains("<Code>RequestTimeout</Code>"), "{}", reply.text());
}

/// Makes an object of many files, and returns where they are.
fn put_pieces(site: &Site, key: &str, count: usize, length: u64) -> Vec<PathBuf> {
    let blobs = site.s3().blobs();
    let pieces = (0..count).map(|_| {
        let (path, file) = blobs.create().unwrap();
        file.set_len(length).unwrap();
        Piece { blob: blobs.keep(&path).unwrap(), offset: 0, length }
    });
    let pieces = pieces.collect::<Vec<_>>();
    let paths = pieces.iter().map(|piece| blobs.path(&piece.blob).unwrap()).collect();
    let object = Object {
        etag: "e".to_owned(),
        size: length * count as u64,
        last_modified: Timestamp::from_millis(0),
        pieces,
        part_sizes: Vec::new(),
        checksum: None,
        description: Description::default(),
    };
    site.s3().put_object("web", key, object, |_| Ok::<_, std::convert::Infallible>(())).unwrap();
    paths
}

async fn until_gone(paths: &[PathBuf]) {
    let gone = async {
        while paths.iter().any(|path| path.exists()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, gone).await.expect("the files go in time");
}

#[tokio::test]
async fn what_was_deleted_gives_its_space_back_whatever_comes_next() {
    let site = site().await;
    let paths = put_pieces(&site, "k", 3, 10);
    assert!(paths.iter().all(|path| path.exists()));
    assert_eq!(site.ask(&request("DELETE", "/web/k", "", "")).await.status, 204);
    until_gone(&paths).await;
}

#[tokio::test]
async fn an_object_that_is_deleted_while_it_is_sent_is_sent_to_its_end() {
    const PIECES: usize = 40;
    const LENGTH: usize = 1024 * 1024;
    let site = site().await;
    let paths = put_pieces(&site, "k", PIECES, LENGTH as u64);
    let mut connection = site.connect().await;
    connection.send(&request("GET", "/web/k", "", "")).await;
    connection.begun().await;
    assert_eq!(site.ask(&request("DELETE", "/web/k", "", "")).await.status, 204);
    assert_eq!(site.ask(&request("GET", "/web/k", "", "")).await.status, 404);
    assert!(paths.last().unwrap().exists(), "it is being sent");
    let reply = connection.reply().await;
    assert_eq!((reply.status, reply.text().len()), (200, PIECES * LENGTH));
    until_gone(&paths).await;
}
