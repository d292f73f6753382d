//! A store on a share that is reached over SMB 2 or 3, without a mount.
//!
//! An object is a file, written and renamed as the local store does it, so that a share that is mounted elsewhere is the
//! same store there. Every message is signed, and encrypted where the server can. An operation whose connection is lost
//! is asked again over a new one; an upload goes on from what the server has acknowledged.
//!
//! Which client speaks the protocol is known to `adapter` alone.

mod adapter;
mod address;
mod client;
mod explain;
mod names;
mod patience;
mod shares;
mod status;
mod store;
mod upload;

pub(super) use address::Address;
pub use address::SmbSettings;
pub(super) use shares::Shares;
pub(super) use store::Smb;

impl Shares {
    /// Over the crate `smb`.
    pub(super) fn of(settings: &SmbSettings) -> Self {
        Self::new(std::sync::Arc::new(adapter::SmbCrate), settings.idle)
    }
}

#[cfg(test)]
#[path = "smb/fake_tests.rs"]
mod tests;
