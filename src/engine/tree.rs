//! A staging tree as the sink of an archive.

use crate::{
    archive::{Sink, SinkFile},
    domain::Entry,
    source::{FileSink, SourceError, Staging},
};

/// A tree that grows, and what must not go before it.
pub(super) struct Tree<G> {
    pub(super) staging: Staging,
    pub(super) guard: G,
}

impl<G: Send + 'static> Sink for Tree<G> {
    type Error = SourceError;
    type File = FileSink;

    fn directory(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.directory(entry)
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.symlink(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<FileSink, SourceError> {
        self.staging.file(entry)
    }

    fn complete(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.complete(entry)
    }
}

impl SinkFile for FileSink {
    type Error = SourceError;

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), SourceError> {
        self.write_at(offset, data)
    }

    fn rest(&self) {
        self.rest();
    }

    fn finish(self) -> Result<(), SourceError> {
        self.finish()
    }
}
