//! Which operation a method, a path, a query and headers are for.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use crate::{DecodeError, parameters};

/// An operation's place in a REST service. Generated.
#[derive(Debug)]
pub struct RestRoute {
    /// The operation.
    pub operation: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path's template: `/{Bucket}/{Key+}`.
    pub path: &'static str,
    /// Parameters that the query must have; where the value is not empty, with that value.
    pub query: &'static [(&'static str, &'static str)],
    /// Headers that the request must have.
    pub headers: &'static [&'static str],
    /// The status of a response.
    pub status: u16,
    /// Whether the body of a request is streamed.
    pub is_streamed: bool,
}

impl RestRoute {
    /// Makes the route of an operation that asks for nothing but its path and answers 200.
    pub const fn new(operation: &'static str, method: &'static str, path: &'static str) -> Self {
        Self { operation, method, path, query: &[], headers: &[], status: 200, is_streamed: false }
    }

    /// Demands parameters of the query.
    #[must_use]
    pub const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// Demands headers.
    #[must_use]
    pub const fn headers(mut self, headers: &'static [&'static str]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the status of a response.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Has the body of a request streamed.
    #[must_use]
    pub const fn streamed(mut self) -> Self {
        self.is_streamed = true;
        self
    }

    /// Returns how much a request has that this route demands, or none if it is for another one.
    fn score(&self, request: &Parts, path: &str) -> Option<usize> {
        if self.method != request.method.as_str() {
            return None;
        }
        let literals = matched(self.path, path)?;
        let has = |(name, value): &(&str, &str)| {
            let mut all = parameters(request.uri.query().unwrap_or_default());
            all.any(|(known, found)| known == *name && (value.is_empty() || found == *value))
        };
        let is_whole =
            self.query.iter().all(has) && self.headers.iter().all(|name| request.headers.contains_key(*name));
        is_whole.then_some(literals + self.query.len() + self.headers.len())
    }

    /// Takes the labels out of a path that matches, with their escapes undone.
    pub(crate) fn labels(&self, path: &str) -> Result<Vec<(&'static str, String)>, DecodeError> {
        let mut found = Vec::new();
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        for part in self.path.trim_matches('/').split('/') {
            let Some(label) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                rest = rest.split_once('/').map_or("", |(_, rest)| rest);
                continue;
            };
            let (label, value) = match label.strip_suffix('+') {
                Some(label) => (label, std::mem::take(&mut rest)),
                None => {
                    let (value, after) = rest.split_once('/').unwrap_or((rest, ""));
                    rest = after;
                    (label, value)
                }
            };
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| DecodeError::new("the path is not UTF-8").inside_member(label))?;
            found.push((label, value.into_owned()));
        }
        Ok(found)
    }
}

/// Compares a path with a template, and counts the parts that are no labels. No label is empty.
fn matched(template: &str, path: &str) -> Option<usize> {
    let mut literals = 0;
    let mut rest = path.strip_prefix('/')?;
    for part in template.trim_matches('/').split('/').filter(|part| !part.is_empty()) {
        if part.ends_with("+}") {
            return (!rest.is_empty()).then_some(literals);
        }
        let (found, after) = rest.split_once('/').unwrap_or((rest, ""));
        if found.is_empty() {
            return None;
        }
        if !part.starts_with('{') {
            if part != found {
                return None;
            }
            literals += 1;
        }
        rest = after;
    }
    rest.is_empty().then_some(literals)
}

/// Finds the route that demands most among those that a request fulfils; of two the first, which is the one that
/// Neargate has.
pub(crate) fn find(routes: &'static [RestRoute], service: &str, request: &Parts) -> Option<&'static RestRoute> {
    let path = target(service, &request.headers, &request.uri);
    let mut best: Option<(usize, &RestRoute)> = None;
    for route in routes {
        if let Some(score) = route.score(request, &path)
            && best.is_none_or(|(known, _)| score > known)
        {
            best = Some((score, route));
        }
    }
    best.map(|(_, route)| route)
}

/// Returns the path that a request means: for S3 the bucket may stand in the host's name.
pub(crate) fn target<'a>(service: &str, headers: &HeaderMap, uri: &'a Uri) -> Cow<'a, str> {
    let path = uri.path();
    match host(headers, uri).and_then(bucket_of_host) {
        Some(bucket) if service == "s3" => Cow::Owned(format!("/{bucket}{path}")),
        _ => Cow::Borrowed(path),
    }
}

/// Returns the bucket that the name of a host begins with: `<bucket>.s3.<region>.amazonaws.com`, `<bucket>.s3.localhost`,
/// and, as SDKs make it of an endpoint on this machine, `<bucket>.localhost`.
pub(crate) fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if name.starts_with("s3.") || name.starts_with("s3-") {
        return None;
    }
    let of_service = name.rfind(".s3.").or_else(|| name.rfind(".s3-").filter(|_| name.contains(".amazonaws.com")));
    let bucket = match of_service {
        Some(end) => &name[..end],
        None => name.strip_suffix(".localhost")?,
    };
    (!bucket.is_empty()).then_some(bucket)
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    static ROUTES: &[RestRoute] = &[
        RestRoute::new("ListBuckets", "GET", "/"),
        RestRoute::new("ListObjects", "GET", "/{Bucket}"),
        RestRoute::new("ListObjectsV2", "GET", "/{Bucket}").query(&[("list-type", "2")]),
        RestRoute::new("GetObject", "GET", "/{Bucket}/{Key+}"),
        RestRoute::new("PutObject", "PUT", "/{Bucket}/{Key+}").streamed(),
        RestRoute::new("UploadPart", "PUT", "/{Bucket}/{Key+}").query(&[("uploadId", ""), ("partNumber", "")]),
        RestRoute::new("CopyObject", "PUT", "/{Bucket}/{Key+}").headers(&["x-amz-copy-source"]),
        RestRoute::new("DescribePolicy", "GET", "/2015-02-01/file-systems/{Id}/policy"),
        RestRoute::new("DescribeFileSystems", "GET", "/2015-02-01/file-systems"),
    ];

    #[track_caller]
    fn check(line: &str, host: &str, expected: &str) {
        let (method, rest) = line.split_once(' ').unwrap();
        let (uri, header) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut request = Request::builder().method(method).uri(uri).header("host", host);
        if !header.is_empty() {
            request = request.header(header, "x");
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let found = find(ROUTES, "s3", &parts).map_or_else(
            || "none".to_owned(),
            |route| {
                let labels = route.labels(&target("s3", &parts.headers, &parts.uri)).unwrap();
                let labels = labels.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
                format!("{}{labels}", route.operation)
            },
        );
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn the_route_that_demands_most_is_found() {
        check("GET /", "localhost", "ListBuckets");
        check("GET /b", "localhost:4566", "ListObjects Bucket=b");
        check("GET /b/?list-type=2", "localhost", "ListObjectsV2 Bucket=b");
        check("GET /b?list-type=1", "localhost", "ListObjects Bucket=b");
        check("GET /b/a//c/%C3%BC+/?x-id=GetObject", "localhost", "GetObject Bucket=b Key=a//c/ü+/");
        check("GET /b//c", "localhost", "GetObject Bucket=b Key=/c");
        check("PUT /b/c?uploadId=1&partNumber=2", "localhost", "UploadPart Bucket=b Key=c");
        check("PUT /b/c x-amz-copy-source", "localhost", "CopyObject Bucket=b Key=c");
        check("PUT /b/c?uploadId=1", "localhost", "PutObject Bucket=b Key=c");
        check("POST /b/c", "localhost", "none");
        check("GET /2015-02-01/file-systems/", "127.0.0.1:4566", "DescribeFileSystems");
        check("GET /2015-02-01/file-systems/fs-1/policy", "127.0.0.1", "DescribePolicy Id=fs-1");
    }

    #[test]
    fn a_bucket_may_stand_in_the_host() {
        check("GET /", "b.localhost:4566", "ListObjects Bucket=b");
        check("GET /k", "b.c.s3.localhost:4566", "GetObject Bucket=b.c Key=k");
        check("GET /k", "b.s3.eu-west-1.amazonaws.com", "GetObject Bucket=b Key=k");
        for host in
            ["s3.localhost", "localhost", "s3.eu-west-1.amazonaws.com", "127.0.0.1:4566", "s3-us-west-2.amazonaws.com"]
        {
            assert_eq!(bucket_of_host(host), None, "{host}");
        }
    }
}
