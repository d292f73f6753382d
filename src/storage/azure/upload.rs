use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use object_store::PutPayload;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Answer, Container, FirstWrite, StorageError, Trouble, Upload,
    blocks::{Blocks, MOST_BLOCKS},
};

/// Bytes on their way at one time, but always one block; with the block that is gathered about 64 MiB.
const IN_FLIGHT: usize = 56 << 20;

/// Blocks go up side by side and become a blob with one conditional commit. Dropping the set stops the transfers.
pub(super) struct AzureUpload {
    container: Arc<Container>,
    key: String,
    /// Tells our blocks from those of others who write the same name.
    id: Uuid,
    sizes: Blocks,
    /// How many were started.
    blocks: usize,
    gathered: Vec<Bytes>,
    /// Of the gathered bytes.
    length: usize,
    transfers: JoinSet<Result<usize, Trouble>>,
    in_flight: usize,
}

impl AzureUpload {
    pub(super) fn new(container: Arc<Container>, key: String, about: u64) -> Self {
        let (id, transfers) = (container.clock.uuid(), JoinSet::new());
        let sizes = Blocks::of(about);
        Self { container, key, id, sizes, blocks: 0, gathered: Vec::new(), length: 0, transfers, in_flight: 0 }
    }

    async fn add(&mut self, mut part: Bytes) -> Result<(), Trouble> {
        while !part.is_empty() {
            let size = self.sizes.size(self.blocks);
            let piece = part.split_to(part.len().min(size - self.length));
            self.length += piece.len();
            self.gathered.push(piece);
            if self.length == size {
                self.start().await?;
            }
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<(), Trouble> {
        while self.in_flight > 0 && self.in_flight + self.length > IN_FLIGHT {
            self.settle_one().await?;
        }
        if self.blocks == MOST_BLOCKS {
            return Err(Trouble::Other { detail: format!("a blob has at most {MOST_BLOCKS} blocks") });
        }
        let block = self.name_of(self.blocks);
        let (data, length) =
            (PutPayload::from_iter(std::mem::take(&mut self.gathered)), std::mem::take(&mut self.length));
        let (container, key) = (Arc::clone(&self.container), self.key.clone());
        self.transfers.spawn(async move { container.put_block(&key, &block, data).await.map(|()| length) });
        (self.blocks, self.in_flight) = (self.blocks + 1, self.in_flight + length);
        Ok(())
    }

    /// False when none is on its way.
    async fn settle_one(&mut self) -> Result<bool, Trouble> {
        let Some(joined) = self.transfers.join_next().await else {
            return Ok(false);
        };
        self.in_flight -= joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        Ok(true)
    }

    async fn commit(&mut self) -> Result<(), Trouble> {
        if self.length > 0 {
            self.start().await?;
        }
        while self.settle_one().await? {}
        let blocks: Vec<_> = (0..self.blocks).map(|index| self.name_of(index)).collect();
        self.container.exclusively(&self.key, &FirstWrite::Commit(&blocks)).await
    }

    /// All of one length, as the service wants them.
    fn name_of(&self, index: usize) -> Vec<u8> {
        [self.id.as_bytes().as_slice(), &index.to_be_bytes()].concat()
    }

    fn explain(&self, trouble: Trouble) -> StorageError {
        self.container.explain("write", &self.key, trouble)
    }
}

impl Container {
    async fn put_block(&self, key: &str, block: &[u8], data: PutPayload) -> Result<(), Trouble> {
        match self.requests.put_block(key, block, data.clone()).await {
            Err(trouble) if trouble.is_container_missing() => {
                self.make().await?;
                self.requests.put_block(key, block, data).await
            }
            answer => answer,
        }
    }
}

impl Upload for AzureUpload {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move { self.add(part).await.map_err(|trouble| self.explain(trouble)) }.boxed()
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
