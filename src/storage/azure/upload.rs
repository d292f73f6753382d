use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::FutureExt;
use object_store::{MultipartId, PutPayload, multipart::MultipartStore};
use tokio::task::JoinSet;

use super::{Answer, Container, FirstWrite, StorageError, Trouble, Upload, path};

/// Parts on their way at one time; with the one that is gathered this bounds an upload's memory.
const IN_FLIGHT: usize = 4;

/// Azure's limit for one blob.
const MOST_BLOCKS: usize = 50_000;

/// Blocks go up side by side and become a blob with one conditional commit. Dropping the set stops the transfers.
pub(super) struct AzureUpload {
    container: Arc<Container>,
    key: String,
    /// As the commit names them, in order; a block that is still on its way is empty.
    blocks: Vec<String>,
    transfers: JoinSet<Result<(usize, String), Trouble>>,
}

impl AzureUpload {
    pub(super) fn new(container: Arc<Container>, key: String) -> Self {
        Self { container, key, blocks: Vec::new(), transfers: JoinSet::new() }
    }

    async fn start(&mut self, part: Bytes) -> Result<(), Trouble> {
        if self.transfers.len() >= IN_FLIGHT {
            self.settle_one().await?;
        }
        let index = self.blocks.len();
        if index == MOST_BLOCKS {
            return Err(Trouble::Other { detail: format!("a blob has at most {MOST_BLOCKS} blocks") });
        }
        self.blocks.push(String::new());
        let (container, key) = (Arc::clone(&self.container), self.key.clone());
        self.transfers.spawn(async move { Ok((index, container.put_block(&key, index, part).await?)) });
        Ok(())
    }

    /// False when none is on its way.
    async fn settle_one(&mut self) -> Result<bool, Trouble> {
        let Some(joined) = self.transfers.join_next().await else {
            return Ok(false);
        };
        let (index, block) = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        self.blocks[index] = block;
        Ok(true)
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        while self.settle_one().await? {}
        let Self { container, key, blocks, .. } = self;
        container.exclusively(key, &FirstWrite::Commit(blocks)).await
    }

    fn explain(&self, trouble: Trouble) -> StorageError {
        self.container.explain("write", &self.key, trouble)
    }
}

impl Container {
    async fn put_block(&self, key: &str, index: usize, part: Bytes) -> Result<String, Trouble> {
        let path = path(key)?;
        // Azure knows an upload by its blob alone.
        let upload = MultipartId::new();
        let put = || self.transfers.put_part(&path, &upload, index, PutPayload::from(part.clone()));
        let block = match put().await.map_err(Trouble::from) {
            Err(trouble) if trouble.is_container_missing() => {
                self.make().await?;
                put().await?
            }
            answer => answer?,
        };
        Ok(BASE64_STANDARD.encode(block.content_id))
    }
}

impl Upload for AzureUpload {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move { self.start(part).await.map_err(|trouble| self.explain(trouble)) }.boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move { self.commit().await.map_err(|trouble| self.explain(trouble)) }.boxed()
    }

    fn abort(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            self.transfers.shutdown().await;
            Ok(())
        }
        .boxed()
    }
}
