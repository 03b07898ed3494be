//! Lists by pages: of repositories, and of the tags of one.

use bytes::Bytes;
use http::Response;
use http::header::LINK;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::Cx;
use crate::answer::{json, set};
use crate::error::Error;

/// How many entries a page has at most, and if the client does not say.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1_000;

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<String>,
}

#[derive(Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: Vec<String>,
}

impl Cx<'_> {
    /// Lists the repositories of a registry.
    pub(crate) fn catalog(&self) -> Result<Response<Bytes>, Error> {
        let (last, count) = self.page()?;
        let walk = self.ecr().repositories.walk(&self.scope, last).map(|(name, _)| name);
        let (repositories, next) = page(walk, count);
        self.listed(&Catalog { repositories }, next)
    }

    /// Lists the tags of a repository.
    pub(crate) fn tags(&self, name: &str) -> Result<Response<Bytes>, Error> {
        self.existing(name)?;
        let (last, count) = self.page()?;
        let walk = self.ecr().tags_of(&self.scope, name, last.as_deref()).map(|(tag, _)| tag);
        let (tags, next) = page(walk, count);
        self.listed(&Tags { name, tags }, next)
    }

    /// Returns the entry after which a page begins, and how many entries it is to have.
    pub(crate) fn page(&self) -> Result<(Option<String>, usize), Error> {
        let count = self.parameter("n").filter(|count| !count.is_empty());
        let count =
            count.map(|count| count.parse::<usize>().map_err(|_| Error::page_size_invalid(&count))).transpose()?;
        let last = self.parameter("last").filter(|last| !last.is_empty());
        Ok((last, count.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX)))
    }

    fn listed(&self, list: &impl Serialize, next: Option<String>) -> Result<Response<Bytes>, Error> {
        let body = serde_json::to_vec(list).map_err(|error| {
            tracing::error!(%error, "a list cannot be written");
            Error::internal()
        })?;
        let mut response = json(Bytes::from(body), "application/json");
        if let Some(next) = next {
            self.link(&mut response, &next);
        }
        Ok(response)
    }

    /// Says where the page after `last` is.
    pub(crate) fn link(&self, response: &mut Response<Bytes>, last: &str) {
        let query = self.head.uri.query().unwrap_or_default();
        let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("last="));
        let last = format!("last={}", utf8_percent_encode(last, NON_ALPHANUMERIC));
        let query = others.map(str::to_owned).chain([last]).collect::<Vec<_>>().join("&");
        set(response, LINK, &format!("<{}?{query}>; rel=\"next\"", self.head.uri.path()));
    }
}

/// Takes a page, and the last entry of it if there are more.
fn page(mut walk: impl Iterator<Item = String>, count: usize) -> (Vec<String>, Option<String>) {
    let entries = walk.by_ref().take(count).collect::<Vec<_>>();
    let next = entries.last().filter(|_| walk.next().is_some()).cloned();
    (entries, next)
}
