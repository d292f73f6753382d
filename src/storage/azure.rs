//! A store in an Azure Blob container.
//!
//! `object_store` reads and uploads. What it cannot do as we need it is signed with its keys in `requests`: making the
//! container, committing an upload only if its name is free, deleting without the batch interface (which not every SAS
//! may use), asking who wrote a blob, and listing where others keep blobs under names that it does not accept.
//!
//! Every blob carries the id of the attempt that wrote it. So a write whose reply was lost, and which then finds its
//! name taken, can tell its own first attempt from somebody else's blob.
//!
//! Parts of an upload that is given up are never visible; the service drops them after a week.

mod client;
mod page;
mod requests;
mod trouble;
mod upload;

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    azure::{MicrosoftAzure, MicrosoftAzureBuilder, split_sas},
    path::Path,
};

use crate::clock::Clock;

use super::{
    ErrorKind, Object, SpecError, StorageError,
    backend::{Answer, Backend, Upload},
    connection_string::{Account, Credential},
    key::checked,
};
use client::Direct;
use requests::Requests;
use trouble::Trouble;
use upload::AzureUpload;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
/// A question that brings no byte for so long has failed, and none is asked again after so long. A small write is one.
const QUESTION: Duration = Duration::from_secs(20);
/// As long as a question may take.
const SILENCE: TimeDelta = TimeDelta::seconds(19);
/// A part of 8 MiB may take so long to send: 70 KB/s, four at a time.
const TRANSFER: Duration = Duration::from_mins(2);
/// How long a part is tried again.
const TRANSFER_RETRIES: Duration = Duration::from_mins(1);

/// How often a write whose fate is unknown is repeated.
const ATTEMPTS: usize = 2;

/// The metadata that tells one attempt to write a blob from another.
const ATTEMPT: &str = "fabricbackupattempt";

#[derive(Clone)]
pub(super) struct Azure(Arc<Container>);

struct Container {
    description: String,
    name: String,
    questions: MicrosoftAzure,
    transfers: MicrosoftAzure,
    requests: Requests,
    clock: Clock,
}

impl Azure {
    /// Contacts nothing.
    pub(super) fn new(account: &Account, container: &str, clock: Clock) -> Result<Self, SpecError> {
        let client = |source: object_store::Error| SpecError::Client { source: source.into() };
        let builder = builder(account, container).map_err(client)?;
        let build = |read, retries| {
            // The builder looks here whether the endpoint may be plain HTTP; the connector does the rest.
            let options = ClientOptions::new().with_allow_http(account.endpoint.starts_with("http:"));
            let builder = builder.clone().with_http_connector(Direct::to(account, read)).with_client_options(options);
            builder.with_retry(retry(retries)).build()
        };
        let questions = build(QUESTION, QUESTION).map_err(client)?;
        let transfers = build(TRANSFER, TRANSFER_RETRIES).map_err(client)?;
        let http = Direct::to(account, TRANSFER).client().map_err(client)?;
        let requests = Requests::new(account, container, http, &transfers).map_err(client)?;
        let description = format!("container {container} of account {}", account.name);
        let name = container.to_owned();
        Ok(Self(Arc::new(Container { description, name, questions, transfers, requests, clock })))
    }
}

fn builder(account: &Account, container: &str) -> object_store::Result<MicrosoftAzureBuilder> {
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&account.name)
        .with_endpoint(account.endpoint.clone())
        .with_container_name(container);
    Ok(match &account.credential {
        Credential::Key(key) => builder.with_access_key(key.expose()),
        Credential::Signature(signature) => builder.with_sas_authorization(split_sas(signature.expose())?),
    })
}

fn retry(retry_timeout: Duration) -> RetryConfig {
    // Only time ends it: each pause is drawn from 0.2 s up to three times the one before, so their number says nothing.
    let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: LONGEST_PAUSE, base: 3.0 };
    RetryConfig { backoff, max_retries: usize::MAX, retry_timeout }
}

/// A write that must be the first of its name.
enum FirstWrite<'a> {
    Blob(Bytes),
    /// Of blocks that are already there.
    Commit(&'a [String]),
}

impl Container {
    async fn make(&self) -> Result<(), Trouble> {
        self.requests.create_container().await.map_err(Trouble::while_making_the_container)
    }

    async fn exclusively(&self, key: &str, write: &FirstWrite<'_>) -> Result<(), Trouble> {
        let id = self.clock.uuid().to_string();
        let (mut outcome, begun) = (Ok(()), self.clock.elapsed());
        for _ in 0..ATTEMPTS {
            outcome = self.in_container(key, write, &id).await;
            match &outcome {
                // A store that kept silent for so long is not waited for again.
                Err(trouble) if trouble.is_lost() && self.clock.elapsed() - begun < SILENCE => {}
                Err(trouble) if trouble.is_conflict() => return self.unless_ours(key, &id, outcome).await,
                _ => break,
            }
        }
        outcome
    }

    /// Makes the container if it is missing.
    async fn in_container(&self, key: &str, write: &FirstWrite<'_>, id: &str) -> Result<(), Trouble> {
        match self.once(key, write, id).await {
            Err(trouble) if trouble.is_container_missing() => {
                self.make().await?;
                self.once(key, write, id).await
            }
            answer => answer,
        }
    }

    async fn once(&self, key: &str, write: &FirstWrite<'_>, id: &str) -> Result<(), Trouble> {
        match write {
            FirstWrite::Blob(data) => self.put(key, data.clone(), id).await,
            FirstWrite::Commit(blocks) => self.requests.commit(key, blocks, id).await,
        }
    }

    async fn unless_ours(&self, key: &str, id: &str, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        match self.requests.facts(key).await {
            Ok(facts) if facts.attempt.as_deref() == Some(id) => Ok(()),
            Ok(_) => Err(Trouble::Taken),
            Err(_) => outcome,
        }
    }

    async fn put(&self, key: &str, data: Bytes, id: &str) -> Result<(), Trouble> {
        let attributes = Attributes::from_iter([(Attribute::Metadata(ATTEMPT.into()), id.to_owned())]);
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        self.questions.put_opts(&path(key)?, data.into(), options).await?;
        Ok(())
    }

    async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Trouble> {
        let start = range.start;
        if range.is_empty() {
            return self.requests.facts(key).await.map(|_| Bytes::new());
        }
        match self.questions.get_range(&path(key)?, range).await.map_err(Trouble::from) {
            Err(trouble) if trouble.may_be_past_the_end() => self.nothing_after(key, start, trouble).await,
            answer => answer,
        }
    }

    /// No bytes, if that is what is left of the blob.
    async fn nothing_after(&self, key: &str, start: u64, trouble: Trouble) -> Result<Bytes, Trouble> {
        let size = self.requests.facts(key).await?.size;
        if start >= size { Ok(Bytes::new()) } else { Err(trouble) }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>, Trouble> {
        let mut found = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.requests.list(prefix, &marker).await?;
            found.extend(page.objects);
            match page.next {
                Some(next) => marker = next,
                None => return Ok(found),
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Trouble> {
        match self.requests.delete(key).await {
            Err(trouble) if trouble.is_absence() => Ok(()),
            answer => answer,
        }
    }

    fn explain(&self, operation: &'static str, key: &str, trouble: Trouble) -> StorageError {
        let error = StorageError::new(trouble.kind(), &self.description, operation, key);
        trouble.into_error(error, &self.name)
    }
}

/// As it is: `Path::from` would rename what it thinks unwise.
fn path(key: &str) -> Result<Path, Trouble> {
    Path::parse(key).map_err(|error| Trouble::Other { detail: error.to_string() })
}

impl Backend for Azure {
    fn description(&self) -> &str {
        &self.0.description
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        async move {
            let write = FirstWrite::Blob(data);
            self.0.exclusively(key, &write).await.map_err(|trouble| self.0.explain("write", key, trouble))
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        let read = async move { Ok(self.0.questions.get(&path(key)?).await?.bytes().await?) };
        read.map(move |answer| answer.map_err(|trouble| self.0.explain("read", key, trouble))).boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        let read = self.0.read_range(key, range);
        read.map(move |answer| answer.map_err(|trouble| self.0.explain("read", key, trouble))).boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        let look = async move { Ok(self.0.requests.facts(key).await?.size) };
        look.map(move |answer| answer.map_err(|trouble| self.0.explain("look at", key, trouble))).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        let list = self.0.list(prefix);
        list.map(move |answer| answer.map_err(|trouble| self.0.explain("list", prefix, trouble))).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        let delete = self.0.delete(key);
        delete.map(move |answer| answer.map_err(|trouble| self.0.explain("delete", key, trouble))).boxed()
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        let ask = self.0.requests.time();
        ask.map(|answer| answer.map_err(|trouble| self.0.explain("ask the time of", "", trouble))).boxed()
    }

    fn create<'a>(&'a self, key: &'a str) -> Answer<'a, Box<dyn Upload>> {
        let upload = AzureUpload::new(Arc::clone(&self.0), key.to_owned());
        async move { Ok(Box::new(upload) as Box<dyn Upload>) }.boxed()
    }
}
