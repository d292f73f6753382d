//! What a backup looks like on storage: names, zip, manifest, commit record, and the order they are written in.
//!
//! Owns the format (`docs/FORMAT.md` describes it to strangers) and nothing of what is backed up or why. The commit record
//! is written last and alone makes a backup exist; nothing read from a storage is believed before it is verified.

mod block;
mod cache;
mod catalog;
#[cfg(test)]
#[path = "archive/chain_tests.rs"]
mod chain_tests;
mod extract;
mod failure;
mod journal;
mod listing;
mod manifest;
mod metadata;
mod names;
mod order;
mod pack;
mod position;
mod read;
mod remove;
mod safety;
#[cfg(test)]
#[path = "archive/testing_tests.rs"]
mod testing;
mod timing;
mod upload;
mod verify;
mod windows;
mod wire;
mod write;
mod zip;

pub use block::{BlockHash, BlockSize};
pub use catalog::{Catalog, CatalogError, Filter, Found, Listing, Wanted};
pub use extract::{ExtractError, Sink, SinkFile};
pub use journal::Journal;
pub use manifest::{Frame, Item, Items, Manifest, ManifestError, ManifestWriter, Member, Stored};
pub use metadata::{Content, FORMAT_VERSION, Metadata, MetadataError, decode, encode};
pub use names::{Keys, LocationError, Place, Scope, parse_location};
pub use order::OrderError;
pub use pack::{Base, COMPRESSION_LEVEL, Grown, Left, Mark, Out, PackError, Packed, Packer, Packing, Use};
pub use position::{Position, PositionError};
pub use read::{Archive, ReadError};
pub use remove::{RemoveError, remove};
pub use upload::Upload;
pub use verify::Inspected;
pub use windows::{Batch, Planner, Step, Window};
pub use wire::WireError;
pub use write::{
    CommitError, Draft, Resumption, Staged, WriteError, committed, discard, free_second, stage, stage_rest, take_up,
};

pub use crate::storage::Storage;
