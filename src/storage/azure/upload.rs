use std::{collections::BTreeSet, iter, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use object_store::PutPayload;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use super::{
    Answer, Container, FirstWrite, Secured, StorageError, Trouble, Upload,
    blocks::{Blocks, MOST_BLOCKS},
};

/// Bytes on their way at one time, but always one block; the block that is gathered comes on top.
const IN_FLIGHT: usize = 64 << 20;

/// Blocks go up side by side and become a blob with one conditional commit. Dropping the set stops the transfers.
pub(super) struct AzureUpload {
    container: Arc<Container>,
    key: String,
    /// Tells our blocks from those of others who write the same name.
    id: Uuid,
    /// About how long the blob will be.
    about: u64,
    sizes: Blocks,
    /// Those who wrote the first blocks, each with the number of the first block that is not its own. A request of theirs
    /// that is still on its way cannot touch a block of ours.
    earlier: Vec<(Uuid, usize)>,
    /// How many there were when it was secured last.
    secured: usize,
    /// The numbers of those that are on their way.
    on_their_way: Arc<watch::Sender<BTreeSet<usize>>>,
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
        Self {
            container,
            key,
            id,
            about,
            sizes: Blocks::of(about),
            earlier: Vec::new(),
            secured: 0,
            on_their_way: Arc::default(),
            blocks: 0,
            gathered: Vec::new(),
            length: 0,
            transfers,
            in_flight: 0,
        }
    }

    /// The upload of that sign, if all of its blocks are there.
    pub(super) async fn find(
        container: Arc<Container>,
        key: &str,
        sign: &str,
        len: u64,
    ) -> Result<Option<Self>, Trouble> {
        let Some((about, earlier)) = read_sign(sign) else { return Ok(None) };
        let there = match container.requests.uploaded(key).await {
            Err(trouble) if trouble.is_absence() => return Ok(None),
            there => there?,
        };
        let mut found = Self::new(container, key.to_owned(), about);
        found.blocks = earlier.last().map_or(0, |(_, end)| *end);
        (found.earlier, found.secured) = (earlier, found.blocks);
        let sizes: Option<u64> = (0..found.blocks).map(|index| there.get(&found.name_of(index))).sum();
        Ok(Some(found).filter(|_| sizes == Some(len)))
    }

    /// A block is cut short here, and others may go up while those so far arrive.
    async fn secure(&mut self) -> Result<Option<Secured>, Trouble> {
        if self.blocks - self.secured < self.sizes.between_cuts(self.blocks) {
            return Ok(None);
        }
        if self.length > 0 {
            self.start().await?;
        }
        self.secured = self.blocks;
        let (count, sign) = (self.blocks, self.sign());
        let mut on_their_way = self.on_their_way.subscribe();
        let lost = self.explain(Trouble::Vanished);
        let secured = async move {
            let have_arrived = on_their_way.wait_for(|numbers| numbers.range(..count).next().is_none()).await;
            have_arrived.map(|_| sign).map_err(|_| lost)
        };
        Ok(Some(secured.boxed()))
    }

    /// How long it will be, and who wrote which blocks.
    fn sign(&self) -> String {
        let writers = self.earlier.iter().copied().chain(iter::once((self.id, self.blocks)));
        let writers: Vec<_> = writers.map(|(id, end)| format!("{id}:{end}")).collect();
        format!("{};{}", self.about, writers.join(","))
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
        let (number, on_their_way) = (self.blocks, Arc::clone(&self.on_their_way));
        on_their_way.send_modify(|numbers| _ = numbers.insert(number));
        self.transfers.spawn(async move {
            container.put_block(&key, &block, data).await?;
            on_their_way.send_modify(|numbers| _ = numbers.remove(&number));
            Ok(length)
        });
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
        let writer = self.earlier.iter().find(|(_, end)| index < *end).map_or(self.id, |(id, _)| *id);
        [writer.as_bytes().as_slice(), &index.to_be_bytes()].concat()
    }

    fn explain(&self, trouble: Trouble) -> StorageError {
        self.container.explain("write", &self.key, trouble)
    }
}

fn read_sign(sign: &str) -> Option<(u64, Vec<(Uuid, usize)>)> {
    let (about, writers) = sign.split_once(';')?;
    let writers = writers.split(',').map(|writer| {
        let (id, end) = writer.split_once(':')?;
        Some((id.parse().ok()?, end.parse().ok().filter(|end| *end <= MOST_BLOCKS)?))
    });
    Some((about.parse().ok()?, writers.collect::<Option<_>>()?))
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

    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        async move { AzureUpload::secure(self).await.map_err(|trouble| self.explain(trouble)) }.boxed()
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
