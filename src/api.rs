//! The HTTP edge: what travels on the wire, and nothing of what it means.
//!
//! `wire` and `operations` are generated from `openapi/`; the rest is written here once for all operations: paths
//! (`paths`), what is read (`call`, `query`, `body`, held to its schema by `schema`), what is answered (`reply`, `error`),
//! what surrounds every request (`edge`), and the document (`docs`, `complete`). Nothing here decides anything about backups.

mod body;
mod call;
mod complete;
mod docs;
mod edge;
mod error;
mod events;
mod failures;
mod format;
mod normal;
pub mod operations;
mod paths;
mod query;
mod read;
mod reply;
mod schema;
mod server;
mod service;
mod tell;
pub mod wire;

pub use docs::document;
pub use edge::{Edge, edge};
pub use error::ApiError;
pub use events::Events;
pub use operations::Operations;

use tokio::sync::watch;

use crate::{clock::Clock, ops::Ops};

/// Everything that is served, over the use cases. Who watches a job is let go once `stopped` says so.
pub fn service(ops: Ops, clock: Clock, stopped: watch::Receiver<bool>) -> Edge {
    edge(service::Service(ops, stopped), clock, || true)
}
