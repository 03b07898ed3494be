//! The APIs of this server for its own controllers: what AWS's services would call of each other.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Caller, Clock, Ids, Scope};
use bytes::Bytes;
use controllers::{ApiFault, OwnApi};
use http::Request;
use serde_json::Value;
use state::{Cx, State};
use wire::{Protocol, Routed};

/// Answers in this process, without a listener and without a signature.
pub(crate) struct InProcess {
    pub(crate) state: Arc<State>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
}

#[async_trait]
impl OwnApi for InProcess {
    async fn call(&self, scope: &Scope, service: &str, operation: &str, input: &Value) -> Result<Value, ApiFault> {
        let unknown = || ApiFault { code: "UnknownService".to_owned(), message: service.to_owned(), is_final: true };
        let service = wire::service_named(service).ok_or_else(unknown)?;
        let request_id = self.ids.uuid();
        let caller = Caller { scope: scope.clone(), access_key_id: None, request_id: request_id.clone(), host: None };
        let cx = Cx { state: Arc::clone(&self.state), clock: Arc::clone(&self.clock), ids: self.ids.clone(), caller };
        let routed = Routed { service, protocol: Protocol::Json11, operation: operation.to_owned() };
        let request = Request::new(Bytes::from(input.to_string()));
        let response = wire::handle(services::ALL, &routed, &request, &cx, &request_id).await;
        let (status, body) = (response.status(), serde_json::from_slice::<Value>(response.body()).unwrap_or_default());
        if status.is_success() {
            return Ok(body);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = text("__type").unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default().to_owned();
        let is_final = status.is_client_error() && !code.contains("Throttling");
        Err(ApiFault { message: text("message").or_else(|| text("Message")).unwrap_or_default(), code, is_final })
    }
}
