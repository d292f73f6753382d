//! The requests to the service, one function each: signed by `object_store`, sent with the credentials of the moment.
//!
//! A request that is refused for its credentials is sent once more if there are others by then: a key that is changed in
//! the middle of a backup is picked up.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, DATE, IF_NONE_MATCH, RANGE},
};
use object_store::{
    PutPayload,
    azure::AzureAuthorizer,
    client::{HttpClient, HttpRequest},
};
use url::Url;

use super::{
    ATTEMPT, Trouble,
    access::{Access, Entry},
    page::{Page, uploaded_blocks},
    retry::{Patience, Waits},
};
use crate::clock::Clock;

/// A question is given up after so long.
const QUESTION: Patience = Patience { attempt: Duration::from_secs(20), whole: Some(Duration::from_secs(20)) };
/// A record is small. One that is written ends a backup, so it outlasts a server that is silent for half a minute; a caller who
/// tries a store out still hears within his minute that nobody is there.
const RECORD: Patience = Patience { attempt: Duration::from_secs(20), whole: Some(Duration::from_secs(45)) };
const LONGEST_RECORD: usize = 64 << 10;
/// What a running job would fail by outlasts a server that is started anew.
const WORK: Duration = Duration::from_mins(2);
/// Bytes may be as slow as this, a second.
const SLOWEST: usize = 64 << 10;

pub(super) struct Requests {
    pub(super) http: HttpClient,
    pub(super) access: Access,
    pub(super) container: String,
    pub(super) clock: Clock,
    pub(super) waits: Waits,
}

/// Whole: the longest is the range that was asked for.
pub(super) type Answer = http::Response<Bytes>;

/// What a blob says of itself.
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) attempt: Option<String>,
}

struct Request<'a> {
    method: Method,
    key: Option<&'a str>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(String, String)>,
    body: PutPayload,
    patience: Patience,
    accept: fn(Answer) -> Result<Answer, Trouble>,
}

impl<'a> Request<'a> {
    fn about(method: Method, key: Option<&'a str>) -> Self {
        let (query, headers, body) = Default::default();
        Self { method, key, query, headers, body, patience: QUESTION, accept: success }
    }
}

/// For work that moves so many bytes.
fn for_work(bytes: usize) -> Patience {
    let attempt = QUESTION.attempt + Duration::from_secs((bytes / SLOWEST) as u64);
    Patience { attempt, whole: Some(attempt + WORK) }
}

/// For a part of an upload. What was uploaded already is worth waiting for; whoever uploads knows when it is too late.
fn for_part(bytes: usize) -> Patience {
    Patience { whole: None, ..for_work(bytes) }
}

impl Requests {
    /// One that somebody else has just made is as good.
    pub(super) async fn create_container(&self) -> Result<(), Trouble> {
        let query = vec![("restype", "container".to_owned())];
        let request = Request { query, patience: for_work(0), ..Request::about(Method::PUT, None) };
        match self.send(request).await {
            Err(trouble) if trouble.has_code("ContainerAlreadyExists") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Makes a blob of one piece, unless there is one of that name.
    pub(super) async fn put(&self, key: &str, data: Bytes, attempt: &str) -> Result<(), Trouble> {
        let mut headers = first_of_its_name(attempt);
        headers.push(("x-ms-blob-type".to_owned(), "BlockBlob".to_owned()));
        let patience = if data.len() <= LONGEST_RECORD { RECORD } else { for_work(data.len()) };
        let body = data.into();
        self.send(Request { headers, body, patience, ..Request::about(Method::PUT, Some(key)) }).await?;
        Ok(())
    }

    /// Uploads a block, which nobody sees before it is committed.
    pub(super) async fn put_block(&self, key: &str, block: &[u8], data: PutPayload) -> Result<(), Trouble> {
        let query = vec![("comp", "block".to_owned()), ("blockid", BASE64_STANDARD.encode(block))];
        let patience = for_part(data.content_length());
        self.send(Request { query, body: data, patience, ..Request::about(Method::PUT, Some(key)) }).await?;
        Ok(())
    }

    /// Makes the uploaded blocks a blob, unless there is one of that name.
    pub(super) async fn commit(&self, key: &str, blocks: &[Vec<u8>], attempt: &str) -> Result<(), Trouble> {
        let (headers, body) = (first_of_its_name(attempt), Bytes::from(block_list(blocks)).into());
        let query = vec![("comp", "blocklist".to_owned())];
        // The service puts together up to 50,000 of them.
        let patience = Patience { attempt: WORK, whole: None };
        self.send(Request { query, headers, body, patience, ..Request::about(Method::PUT, Some(key)) }).await?;
        Ok(())
    }

    /// The blocks that were uploaded under a name and are no blob yet, with their lengths.
    pub(super) async fn uploaded(&self, key: &str) -> Result<BTreeMap<Vec<u8>, u64>, Trouble> {
        let query = vec![("comp", "blocklist".to_owned()), ("blocklisttype", "uncommitted".to_owned())];
        let request = Request { query, patience: for_work(0), ..Request::about(Method::GET, Some(key)) };
        uploaded_blocks(self.send(request).await?.body())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Trouble> {
        self.send(Request::about(Method::DELETE, Some(key))).await?;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Bytes, Trouble> {
        Ok(self.send(Request::about(Method::GET, Some(key))).await?.into_body())
    }

    /// What there is of a range that is not empty and starts within the blob.
    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Trouble> {
        // The service counts with signs.
        let last = (range.end - 1).min(i64::MAX.unsigned_abs());
        let headers = vec![(RANGE.to_string(), format!("bytes={}-{last}", range.start))];
        let length = usize::try_from(range.end - range.start).unwrap_or_default();
        let patience = if length <= LONGEST_RECORD { QUESTION } else { for_work(length) };
        let request = Request { headers, patience, accept: partial, ..Request::about(Method::GET, Some(key)) };
        Ok(self.send(request).await?.into_body())
    }

    pub(super) async fn facts(&self, key: &str) -> Result<Facts, Trouble> {
        let response = self.send(Request::about(Method::HEAD, Some(key))).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let size = header(CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
        let attempt = header(&format!("x-ms-meta-{ATTEMPT}")).map(str::to_owned);
        let size = size.ok_or_else(|| Trouble::Other { detail: "the answer has no length".to_owned() })?;
        Ok(Facts { size, attempt })
    }

    /// The next blobs whose names start with `prefix`, after the place where `marker` says that the last answer ended.
    pub(super) async fn list(&self, prefix: &str, marker: &str) -> Result<Page, Trouble> {
        let fixed = [("restype", "container"), ("comp", "list")];
        let given = [("prefix", prefix), ("marker", marker)].into_iter().filter(|(_, value)| !value.is_empty());
        let query = fixed.into_iter().chain(given).map(|(name, value)| (name, value.to_owned())).collect();
        let answer = self.send(Request { query, ..Request::about(Method::GET, None) }).await?;
        Page::parse(answer.body())
    }

    /// As any answer tells it, a refusal too: whoever's clock is wrong is refused for that.
    pub(super) async fn time(&self) -> Result<Option<DateTime<Utc>>, Trouble> {
        let query = [("restype", "container"), ("comp", "list"), ("maxresults", "1")];
        let query = query.map(|(name, value)| (name, value.to_owned())).into();
        let answer = self.send(Request { query, accept: Ok, ..Request::about(Method::GET, None) }).await?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(Into::into))
    }

    async fn send(&self, request: Request<'_>) -> Result<Answer, Trouble> {
        let entry = self.access.entry().await?;
        match self.send_as(&entry, &request).await {
            Err(denial) if denial.is_denial() => match self.access.instead_of(&entry).await {
                Some(other) => self.send_as(&other, &request).await.map_err(|trouble| self.dated(&other, trouble)),
                None => Err(self.dated(&entry, denial)),
            },
            answer => answer,
        }
    }

    /// What is refused because it has ended says so.
    fn dated(&self, entry: &Entry, denial: Trouble) -> Trouble {
        match entry.ended(self.clock.now()) {
            Some(end) if denial.is_denial() => denial.of_what_ended(end),
            _ => denial,
        }
    }

    async fn send_as(&self, entry: &Arc<Entry>, request: &Request<'_>) -> Result<Answer, Trouble> {
        let about = request.key.unwrap_or_default();
        self.waits.patiently(&self.clock, request.patience, about, || self.send_once(entry, request)).await
    }

    async fn send_once(&self, entry: &Entry, request: &Request<'_>) -> Result<Answer, Trouble> {
        let signed = self.sign(entry, request)?;
        let (head, body) = self.http.execute(signed).await.map_err(|error| Trouble::lost(&error))?.into_parts();
        let body = body.bytes().await.map_err(|error| Trouble::lost(&error))?;
        (request.accept)(Answer::from_parts(head, body))
    }

    fn sign(&self, entry: &Entry, request: &Request<'_>) -> Result<HttpRequest, Trouble> {
        let mut builder = http::Request::builder()
            .method(&request.method)
            .uri(self.url(entry, request).as_str())
            .header(CONTENT_LENGTH, request.body.content_length());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let body = request.body.clone().into();
        let mut built = builder.body(body).map_err(|error| Trouble::Other { detail: error.to_string() })?;
        AzureAuthorizer::new(&entry.credential, &entry.account).try_authorize(&mut built)?;
        Ok(built)
    }

    fn url(&self, entry: &Entry, request: &Request<'_>) -> Url {
        let mut url = entry.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&self.container);
            path.extend(request.key.into_iter().flat_map(|key| key.split('/')));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        url
    }
}

fn first_of_its_name(attempt: &str) -> Vec<(String, String)> {
    vec![(IF_NONE_MATCH.to_string(), "*".to_owned()), (format!("x-ms-meta-{ATTEMPT}"), attempt.to_owned())]
}

fn success(answer: Answer) -> Result<Answer, Trouble> {
    if answer.status().is_success() { Ok(answer) } else { Err(Trouble::refused(&answer)) }
}

/// A whole blob in the place of a range would be taken for it.
fn partial(answer: Answer) -> Result<Answer, Trouble> {
    match success(answer)? {
        answer if answer.status() == StatusCode::PARTIAL_CONTENT => Ok(answer),
        answer => Err(Trouble::Other { detail: format!("a range was answered with status {}", answer.status()) }),
    }
}

fn block_list(blocks: &[Vec<u8>]) -> String {
    let entries = blocks.iter().map(|block| format!("<Uncommitted>{}</Uncommitted>", BASE64_STANDARD.encode(block)));
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{}</BlockList>", entries.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{for_part, for_work};

    #[test]
    fn an_attempt_has_the_time_that_its_bytes_take_on_a_slow_line_and_a_part_is_tried_until_its_job_ends() {
        for (mib, seconds) in [(0, 20), (8, 20 + 128), (16, 20 + 256), (4000, 20 + 64_000)] {
            let (work, part) = (for_work(mib << 20), for_part(mib << 20));
            let attempt = Duration::from_secs(seconds);
            assert_eq!((work.attempt, part.attempt), (attempt, attempt), "{mib} MiB");
            assert_eq!((work.whole, part.whole), (Some(attempt + Duration::from_mins(2)), None), "{mib} MiB");
        }
    }
}
