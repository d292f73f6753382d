//! One request and its answer.
//!
//! A request that starts a job carries a key of its own, so that it can be sent again when its answer was lost, and never
//! starts two. A redirect is not followed: it could lead a body anywhere.

use std::time::Duration;

use chrono::TimeDelta;
use http::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use reqwest::redirect::Policy;
use serde_json::Value;
use url::{Host, Url};

use super::{
    error::{ClientError, Refusal},
    events::Events,
};
use crate::clock::Clock;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come: more than the 60 seconds after which the service itself gives up, and than it is silent while
/// it sends events.
const ANSWER: Duration = Duration::from_secs(75);
/// How often a request is sent whose answer was lost.
const ATTEMPTS: u32 = 3;
const PAUSE: TimeDelta = TimeDelta::seconds(1);

/// An older service knows no events, and answers with JSON.
const EVENTS: &str = "text/event-stream";
const EVENTS_OR_JSON: &str = "text/event-stream, application/json;q=0.5";

const API_VERSION: (&str, &str) = ("api-version", "6.4");

/// What a query has after its name and `=`.
pub(super) type Query<'a> = [(&'a str, String)];

/// A running service.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    pub(super) clock: Clock,
}

/// What may go on.
pub(super) enum Told {
    /// The answer is at its end.
    Once(Value),
    /// The answer goes on.
    GoesOn(Events),
}

/// An answer that is none of ours.
type Odd = (u16, &'static str);

impl Client {
    /// The service at `server`, `http://` or `https://`. Contacts nothing.
    pub fn new(server: &str, clock: Clock) -> Result<Self, ClientError> {
        let base = address(server)?;
        let mut builder =
            reqwest::Client::builder().redirect(Policy::none()).connect_timeout(CONNECT).read_timeout(ANSWER);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build().map_err(ClientError::Client)?, base, clock })
    }

    /// Its address, without what may be secret in it.
    pub fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Asks. The path is given in its parts.
    pub(super) async fn get(&self, path: &[String], query: &Query<'_>) -> Result<Value, ClientError> {
        let request = self.http.request(Method::GET, self.url(path, query)?);
        self.json(self.answer(request).await?).await
    }

    /// Asks, and to be told whenever the answer changes if that can be.
    pub(super) async fn watch(&self, path: &[String]) -> Result<Told, ClientError> {
        let request = self.http.request(Method::GET, self.url(path, &[])?).header(ACCEPT, EVENTS_OR_JSON);
        let answer = self.answer(request).await?;
        let goes_on =
            answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()));
        if goes_on { Ok(Told::GoesOn(Events::of(answer))) } else { self.json(answer).await.map(Told::Once) }
    }

    /// Orders something that is harmless when it is ordered twice.
    pub(super) async fn post(&self, path: &[String]) -> Result<(), ClientError> {
        let request = self.http.request(Method::POST, self.url(path, &[])?);
        self.accepted(request).await
    }

    /// Orders a job, once, however often that takes.
    pub(super) async fn order(&self, path: &[String], query: &Query<'_>, body: &Value) -> Result<(), ClientError> {
        let (url, key) = (self.url(path, query)?, self.clock.uuid().to_string());
        let mut attempt = 1;
        loop {
            let request = self.http.request(Method::POST, url.clone()).header("Idempotency-Key", &key);
            let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
            match self.accepted(request).await {
                // What was never connected to need not be asked again, and may be the wrong address.
                Err(ClientError::Unreachable { source, .. }) if attempt < ATTEMPTS && !source.is_connect() => {
                    attempt += 1;
                    self.clock.sleep_until(self.clock.now() + PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    /// An order is taken by 202 and nothing else: 200 is what a page for signing in has, too.
    async fn accepted(&self, request: reqwest::RequestBuilder) -> Result<(), ClientError> {
        match self.answer(request).await?.status() {
            StatusCode::ACCEPTED => Ok(()),
            other => Err(self.strange((other.as_u16(), "without accepting it"))),
        }
    }

    /// The answer, whose body is still to come, if the service did what it was asked to.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        Err(refusal(&body).map_or_else(|| self.strange((status.as_u16(), NO_ERROR)), ClientError::from))
    }

    async fn json(&self, answer: reqwest::Response) -> Result<Value, ClientError> {
        let body = answer.bytes().await.map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&body)
            .map_err(|_| self.strange((StatusCode::OK.as_u16(), "with something that is no JSON")))
    }

    fn url(&self, path: &[String], query: &Query<'_>) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        let given = || ClientError::Address { given: self.server(), why: "nothing can be below it" };
        url.path_segments_mut().map_err(|()| given())?.pop_if_empty().extend(path);
        url.query_pairs_mut().append_pair(API_VERSION.0, API_VERSION.1).extend_pairs(query);
        Ok(url)
    }

    /// The text of an error of this kind names the whole address.
    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        ClientError::Unreachable { server: self.server(), source: error.without_url() }
    }

    pub(super) fn strange(&self, (status, what): Odd) -> ClientError {
        ClientError::Strange { server: self.server(), status, what }
    }
}

impl ClientError {
    /// Whether nobody answered, which another try may mend.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

const NO_ERROR: &str = "with something that is no error of the API";

fn refusal(body: &[u8]) -> Option<Refusal> {
    serde_json::from_slice::<Value>(body).ok().and_then(|body| Refusal::read(&body["Error"]))
}

fn address(server: &str) -> Result<Url, ClientError> {
    let refuse = |why| ClientError::Address { given: without_login(server), why };
    let url = Url::parse(server).map_err(|_| refuse("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("it begins neither with http:// nor with https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it has a query or a fragment"));
    }
    Ok(url)
}

/// What stands before an `@` may be a password.
fn without_login(server: &str) -> String {
    server.rsplit_once('@').map_or_else(|| server.to_owned(), |(_, rest)| format!("****@{rest}"))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, refusal};
    use crate::clock::Clock;

    fn client(server: &str) -> Client {
        Client::new(server, Clock::system()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_path_goes_below_the_address_and_keeps_what_only_looks_like_a_path() {
        let path = ["Services", "App~a b/c", "$", "X"].map(str::to_owned);
        let url = client("http://host:1/behind/").url(&path, &[("at", "1&2".to_owned())]);
        assert_eq!(url.unwrap().as_str(), "http://host:1/behind/Services/App~a%20b%2Fc/$/X?api-version=6.4&at=1%262");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for bad in ["127.0.0.1:19080", "ftp://u:hush@host", "host", "http://u:hush@host/?x=1", "http://u:hush@"] {
            let error = Client::new(bad, Clock::system()).err().unwrap().to_string();
            assert!(error.contains("http://127.0.0.1:19080") && !error.contains("hush"), "{error}");
        }
        assert_eq!(client("https://u:hush@host:5/x").server(), "https://host:5");
    }

    #[test]
    fn an_answer_of_another_program_is_no_refusal_of_ours() {
        let ours = br#"{"Error": {"Code": "E_INVALIDARG", "Message": "no"}}"#;
        assert_eq!(refusal(ours).unwrap().code, "E_INVALIDARG");
        for other in [&b"<html>"[..], b"", b"{}", br#"{"Error": "no"}"#] {
            assert_eq!(refusal(other), None);
        }
    }
}
