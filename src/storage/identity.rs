//! Which place a storage is, in one spelling.

use super::{connection_string::Account, share::Place};
use crate::domain::StoreId;

/// By where the account answers and the container's name. Who enters, and with http or https, makes no other container.
pub(super) fn of_container(account: &Account, container: &str) -> StoreId {
    let endpoint = account.endpoint.as_str();
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    StoreId(format!("azure:{}/{container}", address.to_ascii_lowercase()))
}

/// By the local directory, also of a share: where it is mounted.
pub(super) fn of_directory(place: &Place) -> StoreId {
    StoreId(format!("directory:{}", place.path().display()))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
