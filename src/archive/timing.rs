//! How long the stages of a backup take, for its meter. Nothing is decided by it.

use std::time::Duration;

use crate::{
    clock::Clock,
    job::{Meter, Stage},
    storage::throttled,
};

/// Adds what `work` takes to the stage.
pub(super) fn timed<R>(meter: &Meter, stage: Stage, work: impl FnOnce() -> R) -> R {
    let timer = Timer::start();
    let result = work();
    meter.spent(stage, timer.read());
    result
}

/// The same of a call to the storage; what it waited because a limit says so is [`Stage::Throttled`].
pub(super) async fn called<R>(meter: &Meter, stage: Stage, call: impl Future<Output = R>) -> R {
    let timer = Timer::start();
    let (answer, held) = throttled(call).await;
    meter.spent(stage, timer.read().saturating_sub(held));
    meter.spent(Stage::Throttled, held);
    answer
}

/// A stage that has begun.
struct Timer(chrono::TimeDelta);

impl Timer {
    fn start() -> Self {
        Self(Clock::system().elapsed())
    }

    fn read(&self) -> Duration {
        (Clock::system().elapsed() - self.0).to_std().unwrap_or(Duration::ZERO)
    }
}
