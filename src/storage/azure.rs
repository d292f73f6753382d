//! A store in an Azure Blob container.
//!
//! `object_store` signs the requests and nothing else: what it has no call for (making the container, committing an
//! upload only if its name is free, deleting without the batch interface, which not every SAS may use, asking who wrote
//! a blob, listing where others keep blobs under names that it does not accept) and what it has (reading, uploading) are
//! to be tried again, timed out and given other credentials in one way.
//!
//! Every blob carries the id of the attempt that wrote it. So a write whose reply was lost, and which then finds its
//! name taken, can tell its own first attempt from somebody else's blob.
//!
//! Parts of an upload that is given up are never visible; the service drops them after a week.

mod access;
mod blocks;
mod lease;
mod page;
mod requests;
mod retry;
mod secrets;
mod tokens;
mod trouble;
mod upload;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use object_store::client::HttpClient;

use crate::clock::Clock;

use super::{
    ErrorKind, Object, SpecError, StorageError,
    backend::{Answer, Backend, Secured, Upload},
    connection_string::Account,
    key::checked,
};
use access::{Access, Entry, Proof};
pub(super) use lease::{Issuer, Lease};
use requests::Requests;
use retry::Waits;
pub(super) use secrets::SecretSource;
pub(super) use tokens::{TokenEndpoint, TokenSource};
use trouble::Trouble;
use upload::AzureUpload;

/// The metadata that tells one attempt to write a blob from another.
const ATTEMPT: &str = "fabricbackupattempt";

#[derive(Clone)]
pub(super) struct Azure(Arc<Container>);

struct Container {
    description: String,
    requests: Requests,
    clock: Clock,
}

impl Azure {
    /// With a connection string. Contacts nothing.
    pub(super) fn new(
        account: &Account,
        container: &str,
        http: reqwest::Client,
        clock: Clock,
    ) -> Result<Self, SpecError> {
        let entry = Entry::of(account).map_err(|trouble| SpecError::Client { source: trouble.into_detail().into() })?;
        let description = format!("container {container} of account {}", account.name);
        Ok(Self::over(description, Access::Given(entry.into()), container, http, clock))
    }

    /// With a managed identity. Contacts nothing.
    pub(super) fn with_identity(
        lease: Arc<Lease>,
        account: &str,
        container: &str,
        http: reqwest::Client,
        clock: Clock,
    ) -> Self {
        let description = format!("container {container} of account {account}");
        Self::over(description, Access::Leased(lease, Proof::Identity), container, http, clock)
    }

    /// With what a server of secrets hands out. Contacts nothing.
    pub(super) fn with_secret(
        lease: Arc<Lease>,
        description: String,
        container: &str,
        http: reqwest::Client,
        clock: Clock,
    ) -> Self {
        Self::over(description, Access::Leased(lease, Proof::KeyOrSignature), container, http, clock)
    }

    fn over(description: String, access: Access, container: &str, http: reqwest::Client, clock: Clock) -> Self {
        let (http, container) = (HttpClient::new(http), container.to_owned());
        let requests = Requests { http, access, container, clock: clock.clone(), waits: Waits::default() };
        Self(Arc::new(Container { description, requests, clock }))
    }
}

/// A write that must be the first of its name.
enum FirstWrite<'a> {
    Blob(Bytes),
    /// Of blocks that are already there.
    Commit(&'a [Vec<u8>]),
}

impl Container {
    async fn make(&self) -> Result<(), Trouble> {
        self.requests.create_container().await.map_err(Trouble::while_making_the_container)
    }

    async fn exclusively(&self, key: &str, write: &FirstWrite<'_>) -> Result<(), Trouble> {
        let id = self.clock.uuid().to_string();
        match self.in_container(key, write, &id).await {
            Err(trouble) if trouble.is_conflict() => self.unless_ours(key, &id, trouble).await,
            outcome => outcome,
        }
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
            FirstWrite::Blob(data) => self.requests.put(key, data.clone(), id).await,
            FirstWrite::Commit(blocks) => self.requests.commit(key, blocks, id).await,
        }
    }

    async fn unless_ours(&self, key: &str, id: &str, conflict: Trouble) -> Result<(), Trouble> {
        match self.requests.facts(key).await {
            Ok(facts) if facts.attempt.as_deref() == Some(id) => Ok(()),
            Ok(_) => Err(Trouble::Taken),
            Err(nobodys) if nobodys.is_absence() && conflict.is_block_missing() => Err(Trouble::Vanished),
            Err(_) => Err(conflict),
        }
    }

    async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Trouble> {
        let start = range.start;
        if range.is_empty() {
            return self.requests.facts(key).await.map(|_| Bytes::new());
        }
        match self.requests.get_range(key, range).await {
            Err(trouble) if trouble.is_past_the_end() => self.nothing_after(key, start, trouble).await,
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
        trouble.into_error(error, &self.requests.container, self.requests.access.proof())
    }
}

impl Backend for Azure {
    fn description(&self) -> &str {
        &self.0.description
    }

    fn waits(&self) -> Option<StorageError> {
        self.0.requests.waits.last().map(|(key, trouble)| self.0.explain("reach", &key, trouble))
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        async move {
            let write = FirstWrite::Blob(data);
            self.0.exclusively(key, &write).await.map_err(|trouble| self.0.explain("write", key, trouble))
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        let read = self.0.requests.get(key);
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

    fn create<'a>(&'a self, key: &'a str, about: u64) -> Answer<'a, Box<dyn Upload>> {
        let upload = AzureUpload::new(Arc::clone(&self.0), key.to_owned(), about);
        async move { Ok(Box::new(upload) as Box<dyn Upload>) }.boxed()
    }

    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        async move {
            let found = AzureUpload::find(Arc::clone(&self.0), key, sign, len).await;
            let found = found.map_err(|trouble| self.0.explain("go on with", key, trouble))?;
            Ok(found.map(|upload| Box::new(upload) as Box<dyn Upload>))
        }
        .boxed()
    }
}
