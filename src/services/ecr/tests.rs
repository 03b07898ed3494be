use std::sync::Arc;

use base::{AccountId, Caller, Ids, ManualClock, Region, Scope, Timestamp};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use state::Cx;
use state::ecr::Digest;

/// Sends a request as a client would and returns what is answered, which must be a success.
async fn send(cx: &Cx, operation: &str, body: Value) -> Value {
    let (status, answer) = ask(cx, operation, body).await;
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

/// Sends a request as a client would and returns status and body of what is answered.
async fn ask(cx: &Cx, operation: &str, body: Value) -> (u16, Value) {
    let routed = wire::Routed {
        service: wire::service_named("ecr").unwrap(),
        protocol: wire::Protocol::Json11,
        operation: operation.to_owned(),
    };
    let request = Request::new(Bytes::from(body.to_string()));
    let response = wire::handle(&[&crate::SERVICE], &routed, &request, cx, "id-1").await;
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

/// What a handler is given, with records in `folder`.
fn cx(folder: &tempfile::TempDir) -> Cx {
    Cx {
        state: state::State::open(&folder.path().join("state.redb")).unwrap(),
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))),
        ids: Ids::system(),
        caller: Caller {
            scope: Scope::new(AccountId::DEFAULT, Region::default()),
            access_key_id: None,
            request_id: "id-1".to_owned(),
            host: None,
        },
    }
}

#[tokio::test]
async fn a_full_disk_is_the_servers_fault() {
    let folder = tempfile::tempdir().unwrap();
    let cx = cx(&folder);
    send(&cx, "CreateRepository", json!({ "repositoryName": "web" })).await;
    let upload = send(&cx, "InitiateLayerUpload", json!({ "repositoryName": "web" })).await["uploadId"].clone();
    cx.state.ecr.require_free(u64::MAX);
    let manifest = json!({ "schemaVersion": 2, "config": { "mediaType": "x/y", "digest": Digest::of(b"{}").to_string(), "size": 2 }, "layers": [] });
    let rows = [
        ("InitiateLayerUpload", json!({ "repositoryName": "web" })),
        (
            "UploadLayerPart",
            json!({ "repositoryName": "web", "uploadId": upload, "partFirstByte": 0, "partLastByte": 1, "layerPartBlob": "e30=" }),
        ),
        ("PutImage", json!({ "repositoryName": "web", "imageManifest": manifest.to_string() })),
    ];
    for (operation, body) in rows {
        let (status, answer) = ask(&cx, operation, body).await;
        assert_eq!((status, &answer["__type"]), (500, &json!("ServerException")), "{operation}: {answer}");
        assert_eq!(answer["message"], "No space is left on the disk of this registry");
    }
}

#[tokio::test]
async fn what_is_answered_survives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let cx = cx(&folder);
    let is_kept = |what: &str| assert!(cx.state.is_kept(cx.state.moment()), "{what}");
    send(&cx, "CreateRepository", json!({ "repositoryName": "web" })).await;
    let upload = send(&cx, "InitiateLayerUpload", json!({ "repositoryName": "web" })).await["uploadId"].clone();
    // "e30=" is "{}".
    let part = json!({ "repositoryName": "web", "uploadId": upload, "partFirstByte": 0, "partLastByte": 1, "layerPartBlob": "e30=" });
    assert_eq!(send(&cx, "UploadLayerPart", part).await["lastByteReceived"], 1);
    let digest = Digest::of(b"{}").to_string();
    let whole = json!({ "repositoryName": "web", "uploadId": upload, "layerDigests": [digest] });
    send(&cx, "CompleteLayerUpload", whole).await;
    is_kept("CompleteLayerUpload");
    let manifest =
        json!({ "schemaVersion": 2, "config": { "mediaType": "x/y", "digest": digest, "size": 2 }, "layers": [] });
    let image = json!({ "repositoryName": "web", "imageTag": "v1", "imageManifest": manifest.to_string() });
    send(&cx, "PutImage", image).await;
    is_kept("PutImage");
    let ids = json!({ "repositoryName": "web", "imageIds": [{ "imageTag": "v1" }] });
    assert_eq!(send(&cx, "BatchGetImage", ids.clone()).await["images"][0]["imageManifest"], manifest.to_string());
    send(&cx, "BatchDeleteImage", ids).await;
    is_kept("BatchDeleteImage");
    send(&cx, "DeleteRepository", json!({ "repositoryName": "web", "force": true })).await;
    is_kept("DeleteRepository");
}
