//! How long the stages of a backup take, for its meter. Nothing is decided by it.

use std::time::Duration;

use crate::{
    clock::Clock,
    job::{Meter, Stage},
};

/// Adds what `work` takes to the stage.
pub(super) fn timed<R>(meter: &Meter, stage: Stage, work: impl FnOnce() -> R) -> R {
    let timer = Timer::start();
    let result = work();
    timer.stop(meter, stage);
    result
}

/// A stage that has begun.
pub(super) struct Timer(chrono::TimeDelta);

impl Timer {
    pub(super) fn start() -> Self {
        Self(Clock::system().elapsed())
    }

    pub(super) fn stop(self, meter: &Meter, stage: Stage) {
        let took = (Clock::system().elapsed() - self.0).to_std();
        meter.spent(stage, took.unwrap_or(Duration::ZERO));
    }
}
