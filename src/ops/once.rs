//! Requests that name themselves, so that one which is sent again starts nothing a second time.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Error, Ops};
use crate::{
    domain::PartitionId,
    ledger::{Once, Outcome, PartitionRecord},
};

/// The request `body` under the caller's own `key`. It says the same as another if its body means the same, however that
/// was written and however long either may take.
pub(super) fn named(operation: &'static str, key: Option<String>, body: &impl Serialize) -> Option<Once> {
    let digest = |body| blake3::hash(&serde_json::to_vec(body).unwrap_or_default()).to_hex().to_string();
    key.map(|key| Once { operation, key, digest: digest(body) })
}

impl Ops {
    /// Whether the request was accepted before, so that there is nothing more to do.
    pub(super) async fn is_repeated(&self, id: PartitionId, once: Option<&Once>) -> Result<bool, Error> {
        let Some(once) = once else { return Ok(false) };
        let known = self.ledger.recognise(id, self.clock.now(), once).await?;
        known.map_or(Ok(false), |outcome| told(&outcome).map(|()| true))
    }

    /// Accepts a request, or recognises that it was accepted before.
    pub(super) async fn accept(
        &self,
        id: PartitionId,
        now: DateTime<Utc>,
        once: Option<&Once>,
        change: impl FnMut(&mut PartitionRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        told(&self.ledger.accept(id, now, once, change).await??)
    }
}

fn told(outcome: &Outcome<()>) -> Result<(), Error> {
    match outcome {
        Outcome::Done(()) | Outcome::Repeated => Ok(()),
        Outcome::OtherRequest => Err(Error::KeyTaken),
    }
}
