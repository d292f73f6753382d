use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Driver, LedgerError, Task};
use crate::{
    clock::Clock,
    ledger::{Embedded, Ledger, Topic},
};

/// Tells when it is activated, and wants to be again in an hour.
struct Hourly(Clock, mpsc::UnboundedSender<DateTime<Utc>>);

impl Task for Hourly {
    const NAME: &'static str = "hourly";
    const HEARS: &'static [Topic] = &[];

    async fn activate(&mut self) -> Result<DateTime<Utc>, LedgerError> {
        let now = self.0.now();
        self.1.send(now).unwrap();
        Ok(now + TimeDelta::hours(1))
    }
}

#[tokio::test]
async fn a_clock_that_is_set_either_way_delays_no_task_by_more_than_a_minute_and_none_runs_without_need() {
    let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
    let (tell, mut told) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let driver = Driver::new(Ledger::over(Embedded::in_memory().unwrap()), clock.clone());
    let task = Hourly(clock.clone(), tell);
    let running = tokio::spawn(async move { driver.run(task, stopped).await });
    assert_eq!(told.recv().await, Some(clock.now()));
    hand.jump(TimeDelta::days(-10));
    hand.advance(TimeDelta::seconds(59));
    timeout(Duration::from_millis(100), told.recv()).await.expect_err("nothing is due and no minute is over");
    hand.advance(TimeDelta::seconds(1));
    assert_eq!(told.recv().await, Some(clock.now()), "a minute is over");
    timeout(Duration::from_millis(100), told.recv()).await.expect_err("a busy loop");
    hand.jump(TimeDelta::hours(2));
    assert_eq!(told.recv().await, Some(clock.now()), "it is due");
    stop.send_replace(true);
    running.await.unwrap();
}
