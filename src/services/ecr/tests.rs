use std::sync::Arc;

use base::{AccountId, Caller, Ids, ManualClock, Region, Scope, Timestamp};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use state::Cx;
use state::ecr::Digest;

/// Sends a request as a client would and returns what is answered, which must be a success.
async fn send(cx: &Cx, operation: &str, body: Value) -> Value {
    let routed = wire::Routed {
        service: wire::service_named("ecr").unwrap(),
        protocol: wire::Protocol::Json11,
        operation: operation.to_owned(),
    };
    let request = Request::new(Bytes::from(body.to_string()));
    let response = wire::handle(&[&crate::SERVICE], &routed, &request, cx, "id-1").await;
    assert_eq!(response.status(), 200, "{operation}: {:?}", response.body());
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn what_is_answered_survives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let cx = Cx {
        state: state::State::open(&folder.path().join("state.redb")).unwrap(),
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))),
        ids: Ids::system(),
        caller: Caller {
            scope: Scope::new(AccountId::DEFAULT, Region::default()),
            access_key_id: None,
            request_id: "id-1".to_owned(),
            host: None,
        },
    };
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
