use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::Trouble;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long an operation goes on after its connection was lost. One that never had a connection has none: a host that
/// cannot be reached is told at once.
pub(super) struct Patience {
    limit: Duration,
    last_success: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, last_success: None, pause: FIRST_PAUSE }
    }

    /// Something was done.
    pub(super) fn renew(&mut self) {
        self.last_success = Some(Instant::now());
        self.pause = FIRST_PAUSE;
    }

    /// There was a connection; whether it is of any use is not known.
    pub(super) fn begin(&mut self) {
        self.last_success.get_or_insert_with(Instant::now);
    }

    /// Waits a little, or gives the trouble back where another try is of no use.
    pub(super) async fn bear(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let bearable = self.last_success.is_some_and(|last| last.elapsed() < self.limit);
        if !trouble.is_passing() || !bearable {
            return Err(trouble);
        }
        tracing::debug!(%trouble, "the share is asked again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
