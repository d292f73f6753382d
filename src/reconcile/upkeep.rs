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
    look: DateTime<Utc>,
    forget: DateTime<Utc>,
}

impl Upkeep {
    pub(super) fn new(engine: Engine, ledger: Ledger, clock: Clock) -> Self {
        // Whoever recovers has just looked.
        let (look, forget) = (clock.now() + LOST, clock.now());
        Self { engine, ledger, clock, look, forget }
    }
}

impl Task for Upkeep {
    const NAME: &'static str = "upkeep";
    const HEARS: &'static [Topic] = &[];

    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let now = self.clock.now();
        // A clock that was set back must not put them off.
        (self.look, self.forget) = (self.look.min(now + LOST), self.forget.min(now + FORGET));
        if self.look <= now {
            self.look = now + LOST;
            self.engine.retry_data_loss().await?;
        }
        if self.forget <= now {
            self.forget = now + FORGET;
            self.ledger.forget_requests(now).await?;
        }
        Ok(self.look.min(self.forget))
    }
}
