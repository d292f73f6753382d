//! What every handler holds: the service that does the work, and the time it may take.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{ApiError, operations::CommonQuery};
use crate::clock::Clock;

/// The state of the router.
#[derive(Clone)]
pub(super) struct Server<S> {
    pub(super) service: Arc<S>,
    pub(super) clock: Clock,
}

impl<S> Server<S> {
    /// The answer, unless the caller's timeout passes first. Then the work on it is dropped.
    pub(super) async fn within<T>(
        &self,
        common: &CommonQuery,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        // The clock is read only if the answer is not there at once.
        let late = async { self.clock.sleep_until(self.clock.now() + TimeDelta::seconds(common.timeout)).await };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = late => Err(ApiError::timed_out(common.timeout)),
        }
    }
}
