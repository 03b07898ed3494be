//! HTTP by script: what is asked is remembered, and answered as a test has arranged.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;

use super::SimulatedNode;
use crate::{HttpAnswer, HttpClient, HttpError, HttpRequest};

/// How many requests are remembered.
const ASKED_MAX: usize = 1_000;

/// What was asked, and what is to be answered.
#[derive(Default)]
pub(super) struct Http {
    asked: VecDeque<HttpRequest>,
    /// By the address without its query: answers in their order. The last one stays.
    answers: HashMap<String, VecDeque<Result<HttpAnswer, HttpError>>>,
}

impl SimulatedNode {
    /// Says what requests to an address (without a query) are answered, one after the other; the last answer stays. What
    /// nothing was said of is answered with an empty 200.
    pub fn answer_http(&self, url: &str, answers: impl IntoIterator<Item = Result<HttpAnswer, HttpError>>) {
        self.world().http.answers.insert(url.to_owned(), answers.into_iter().collect());
    }

    /// Takes the requests that were sent since they were last taken.
    pub fn take_http_requests(&self) -> Vec<HttpRequest> {
        self.world().http.asked.drain(..).collect()
    }
}

#[async_trait]
impl HttpClient for SimulatedNode {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let mut world = self.world();
        let http = &mut world.http;
        let place = request.url.split('?').next().unwrap_or_default().to_owned();
        if http.asked.len() >= ASKED_MAX {
            http.asked.pop_front();
        }
        http.asked.push_back(request);
        let empty = || Ok(HttpAnswer { status: 200, headers: Vec::new(), body: Vec::new() });
        let Some(answers) = http.answers.get_mut(&place) else { return empty() };
        if answers.len() > 1 {
            return answers.pop_front().unwrap_or_else(empty);
        }
        answers.front().cloned().unwrap_or_else(empty)
    }
}
