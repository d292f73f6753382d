//! Wires the floors together and serves until it is told to stop.

use tokio::net::TcpListener;

use super::settings::Settings;

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// Not built yet.
    #[error("this build cannot do that yet: the service is not wired")]
    NotWired,
}

/// Serves `settings` on `listener` until SIGTERM or SIGINT.
#[expect(clippy::unused_async, reason = "the wiring that replaces this stub is async")]
pub(super) async fn run(_settings: Settings, _listener: TcpListener) -> Result<(), ServeError> {
    Err(ServeError::NotWired)
}

/// The document that `/openapi.json` serves.
pub(super) fn openapi() -> Result<String, ServeError> {
    Err(ServeError::NotWired)
}
