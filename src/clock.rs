//! The only reader of time and randomness.
//!
//! Everything else is handed a [`Clock`]. The manual one moves only when a test moves it and makes ids that can be
//! foretold, so that years of behaviour run in an instant and the same way each time.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use uuid::Uuid;

/// Tells the time, waits for it, and makes new ids. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System,
    Manual { now: watch::Receiver<Hands>, ids: Arc<AtomicU64> },
}

/// What a manual clock shows.
#[derive(Clone, Copy)]
struct Hands {
    wall: DateTime<Utc>,
    elapsed: TimeDelta,
}

/// The hand that moves a manual clock.
pub struct ManualClock(watch::Sender<Hands>);

impl Clock {
    /// The machine's clock and random ids.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands at `start`, and the hand that moves it.
    pub fn manual(start: DateTime<Utc>) -> (Self, ManualClock) {
        let (hand, now) = watch::channel(Hands { wall: start, elapsed: TimeDelta::zero() });
        (Self(Kind::Manual { now, ids: Arc::default() }), ManualClock(hand))
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Kind::System => Utc::now(),
            Kind::Manual { now, .. } => now.borrow().wall,
        }
    }

    /// How much time has passed since some moment before this process began, whatever anybody set the wall clock to. Goes
    /// on while the machine sleeps.
    pub fn elapsed(&self) -> TimeDelta {
        match &self.0 {
            Kind::System => {
                let since_boot = clock_gettime(ClockId::Boottime);
                TimeDelta::seconds(since_boot.tv_sec) + TimeDelta::nanoseconds(since_boot.tv_nsec)
            }
            Kind::Manual { now, .. } => now.borrow().elapsed,
        }
    }

    /// A new id.
    pub fn uuid(&self) -> Uuid {
        match &self.0 {
            Kind::System => Uuid::new_v4(),
            Kind::Manual { ids, .. } => {
                uuid::Builder::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)) + 1).into_uuid()
            }
        }
    }

    /// Returns once the time is `deadline` or later.
    pub async fn sleep_until(&self, deadline: DateTime<Utc>) {
        match &self.0 {
            Kind::System => sleep_in_steps(deadline).await,
            Kind::Manual { now, .. } => {
                // An error means that the hand is gone: the time will never come.
                if now.clone().wait_for(|now| now.wall >= deadline).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl Clock {
    /// The same, but for no longer than `most`, whatever the wall clock is set to meanwhile.
    pub async fn sleep_until_or(&self, deadline: DateTime<Utc>, most: TimeDelta) {
        let latest = self.elapsed() + most;
        match &self.0 {
            Kind::System => {
                let most = most.to_std().unwrap_or(Duration::ZERO);
                drop(tokio::time::timeout(most, sleep_in_steps(deadline)).await);
            }
            Kind::Manual { now, .. } => {
                if now.clone().wait_for(|now| now.wall >= deadline || now.elapsed >= latest).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// The wall clock can be set while we sleep, so no single sleep is longer than this.
const LONGEST_SLEEP: TimeDelta = TimeDelta::seconds(60);

async fn sleep_in_steps(deadline: DateTime<Utc>) {
    loop {
        let left = deadline - Utc::now();
        if left <= TimeDelta::zero() {
            return;
        }
        let step = left.min(LONGEST_SLEEP).to_std().unwrap_or(Duration::ZERO);
        tokio::time::sleep(step).await;
    }
}

impl ManualClock {
    /// Moves the clock on.
    pub fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| {
            now.wall += by;
            now.elapsed += by;
        });
    }

    /// Sets the wall clock, as somebody who corrects or spoils it: no time passes.
    pub fn jump(&self, by: TimeDelta) {
        self.0.send_modify(|now| now.wall += by);
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::Clock;

    #[tokio::test]
    async fn a_manual_clock_moves_only_by_hand_and_wakes_its_sleepers() {
        let start = DateTime::UNIX_EPOCH;
        let (clock, hand) = Clock::manual(start);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(start + TimeDelta::days(400)).await }
        });
        assert_eq!(clock.now(), start);
        hand.advance(TimeDelta::days(401));
        sleeper.await.unwrap();
        assert_ne!(clock.uuid(), clock.uuid());
    }

    #[test]
    fn time_that_passes_and_time_that_is_set_can_be_told_apart() {
        let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
        hand.advance(TimeDelta::hours(1));
        hand.jump(TimeDelta::days(-3));
        assert_eq!(clock.elapsed(), TimeDelta::hours(1));
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH + TimeDelta::hours(1) - TimeDelta::days(3));
    }

    #[test]
    fn the_time_since_boot_is_positive_and_never_goes_back() {
        let clock = Clock::system();
        let earlier = clock.elapsed();
        assert!(earlier > TimeDelta::zero() && clock.elapsed() >= earlier);
    }
}
