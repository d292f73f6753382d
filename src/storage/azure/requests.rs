//! The requests that `object_store` has no call for, or not one for us, signed with its credentials and sent with its client.
//!
//! The pauses between retries are the network's business, so they use tokio's timer and not the product's clock.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use http::{
    Method,
    header::{CONTENT_LENGTH, DATE, IF_NONE_MATCH},
};
use object_store::{
    Error,
    azure::{AzureAuthorizer, AzureCredentialProvider, MicrosoftAzure},
    client::{HttpClient, HttpRequest},
};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::{ATTEMPT, Account, FIRST_PAUSE, LONGEST_PAUSE, QUESTION, TRANSFER, Trouble, page::Page};

pub(super) struct Requests {
    client: HttpClient,
    credentials: AzureCredentialProvider,
    account: String,
    container: Url,
}

/// Whole: none of these requests is answered at length.
pub(super) type Answer = http::Response<Vec<u8>>;

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
    body: Bytes,
    patience: Duration,
    accept: fn(Answer) -> Result<Answer, Trouble>,
}

impl<'a> Request<'a> {
    fn about(method: Method, key: Option<&'a str>) -> Self {
        let (query, headers, body) = Default::default();
        Self { method, key, query, headers, body, patience: QUESTION, accept: success }
    }
}

impl Requests {
    pub(super) fn new(
        account: &Account,
        container: &str,
        client: HttpClient,
        store: &MicrosoftAzure,
    ) -> Result<Self, Error> {
        let container = Url::parse(&format!("{}/{container}", account.endpoint))
            .map_err(|error| Error::Generic { store: "Azure", source: error.into() })?;
        Ok(Self { client, credentials: store.credentials().clone(), account: account.name.clone(), container })
    }

    /// One that somebody else has just made is as good.
    pub(super) async fn create_container(&self) -> Result<(), Trouble> {
        let request = Request { query: vec![("restype", "container".to_owned())], ..Request::about(Method::PUT, None) };
        match self.send(request).await {
            Err(trouble) if trouble.has_code("ContainerAlreadyExists") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Makes the uploaded blocks a blob, unless there is one of that name.
    pub(super) async fn commit(&self, key: &str, blocks: &[String], attempt: &str) -> Result<(), Trouble> {
        let headers =
            vec![(IF_NONE_MATCH.to_string(), "*".to_owned()), (format!("x-ms-meta-{ATTEMPT}"), attempt.to_owned())];
        let body = block_list(blocks).into();
        let query = vec![("comp", "blocklist".to_owned())];
        let about = Request::about(Method::PUT, Some(key));
        self.send(Request { query, headers, body, patience: TRANSFER, ..about }).await?;
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Trouble> {
        self.send(Request::about(Method::DELETE, Some(key))).await?;
        Ok(())
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

    /// Repeats what may pass, for as long as the request has patience.
    async fn send(&self, request: Request<'_>) -> Result<Answer, Trouble> {
        let deadline = Instant::now() + request.patience;
        let mut pause = FIRST_PAUSE;
        let mut trouble = Trouble::Lost { detail: format!("no answer within {} s", request.patience.as_secs()) };
        while let Ok(answer) = timeout_at(deadline, self.send_once(&request)).await {
            match answer {
                Err(passing) if passing.may_pass() => trouble = passing,
                answer => return answer,
            }
            if Instant::now() + pause > deadline {
                break;
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Err(trouble)
    }

    async fn send_once(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let signed = self.sign(request).await?;
        let (head, body) = self.client.execute(signed).await.map_err(|error| Trouble::lost(&error))?.into_parts();
        let body = body.bytes_stream().map_ok(Vec::from).try_concat().await;
        (request.accept)(Answer::from_parts(head, body.map_err(|error| Trouble::lost(&error))?))
    }

    async fn sign(&self, request: &Request<'_>) -> Result<HttpRequest, Trouble> {
        let mut builder = http::Request::builder()
            .method(&request.method)
            .uri(self.url(request).as_str())
            .header(CONTENT_LENGTH, request.body.len());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let mut built =
            builder.body(request.body.clone().into()).map_err(|error| Trouble::Other { detail: error.to_string() })?;
        let credential = self.credentials.get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut built)?;
        Ok(built)
    }

    fn url(&self, request: &Request<'_>) -> Url {
        let mut url = self.container.clone();
        if let (Some(key), Ok(mut path)) = (request.key, url.path_segments_mut()) {
            path.extend(key.split('/'));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        url
    }
}

fn success(answer: Answer) -> Result<Answer, Trouble> {
    if answer.status().is_success() { Ok(answer) } else { Err(Trouble::refused(&answer)) }
}

fn block_list(blocks: &[String]) -> String {
    let entries = blocks.iter().map(|id| format!("<Uncommitted>{id}</Uncommitted>"));
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{}</BlockList>", entries.collect::<String>())
}
