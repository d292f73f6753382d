use chrono::{DateTime, TimeDelta, Utc};

use super::drive::Task;
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Ledger, LedgerError, Topic},
};

/// How often a lost state is looked for anew.
const LOST: TimeDelta = TimeDelta::minutes(1);
/// How often old requests are forgotten.
const FORGET: TimeDelta = TimeDelta::hours(1);

/// Forgets requests that nobody repeats any more, and looks again at states that were lost.
pub(super) struct Upkeep {
    engine: Engine,
    ledger: Ledger,
    clock: Clock,
    forget: DateTime<Utc>,
}

impl Upkeep {
    pub(super) fn new(engine: Engine, ledger: Ledger, clock: Clock) -> Self {
        let forget = clock.now();
        Self { engine, ledger, clock, forget }
    }
}

impl Task for Upkeep {
    const NAME: &'static str = "upkeep";
    // Another policy may bring back what is lost.
    const HEARS: &'static [Topic] = &[Topic::InForce];

    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let now = self.clock.now();
        self.engine.retry_data_loss().await?;
        // A clock that was set back must not put it off.
        self.forget = self.forget.min(now + FORGET);
        if self.forget <= now {
            self.forget = now + FORGET;
            self.ledger.forget_requests(now).await?;
        }
        Ok(self.forget.min(now + LOST))
    }
}
