//! Which place a storage is, in one spelling.

use super::share::Place;
use crate::domain::StoreId;

/// By where the account answers, the host already in lower case, and the container's name. Who enters, and whether with
/// http or https, makes no other container.
pub(super) fn of_container(endpoint: &str, container: &str) -> StoreId {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    StoreId(format!("azure:{address}/{container}"))
}

/// By the local directory, also of a share: where it is mounted.
pub(super) fn of_directory(place: &Place) -> StoreId {
    StoreId(format!("directory:{}", place.path().display()))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
