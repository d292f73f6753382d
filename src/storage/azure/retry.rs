//! When a request is sent again: after 408, 429, 500 to 504 and silence, never after any other answer.
//!
//! The pauses double, and each is drawn between half and whole, so that many who were turned away together do not come
//! back together. A service that says how long to wait is waited for. The pauses are the network's business, so they use
//! tokio's timer and not the product's clock.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Trouble;
use crate::clock::Clock;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// For the answer to one attempt.
    pub(super) attempt: Duration,
    /// For all attempts with the pauses between them.
    pub(super) whole: Duration,
}

/// Sends until the answer is one that another attempt would not better.
pub(super) async fn patiently<T, F>(
    clock: &Clock,
    patience: Patience,
    mut send: impl FnMut() -> F,
) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let deadline = Instant::now() + patience.whole;
    let mut pause = FIRST_PAUSE;
    loop {
        let until = deadline.min(Instant::now() + patience.attempt);
        let trouble = match timeout_at(until, send()).await {
            Ok(Err(passing)) if passing.may_pass() => passing,
            Ok(answer) => return answer,
            Err(_) => Trouble::silence(patience.attempt.min(patience.whole)),
        };
        let again = Instant::now() + drawn(clock, pause).max(trouble.retry_after().unwrap_or_default());
        if again > deadline {
            return Err(trouble);
        }
        sleep_until(again).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Between a half and the whole of it.
fn drawn(clock: &Clock, pause: Duration) -> Duration {
    let [.., chance] = clock.uuid().into_bytes();
    pause / 2 + pause / 2 * u32::from(chance) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::{LONGEST_PAUSE, Patience, drawn, patiently};
    use crate::{clock::Clock, storage::azure::trouble::Trouble};

    const PATIENCE: Patience = Patience { attempt: Duration::from_secs(20), whole: Duration::from_mins(1) };

    fn refused(status: u16, retry_after: Option<u64>) -> Trouble {
        let retry_after = retry_after.map(Duration::from_secs);
        Trouble::Refused { status, code: String::new(), detail: String::new(), retry_after }
    }

    /// How often was it sent, and how long did that take, if every answer but the third is this one?
    async fn third_time(answer: fn() -> Trouble) -> (usize, Duration) {
        let (sent, started) = (Cell::new(0), tokio::time::Instant::now());
        let next = || {
            sent.set(sent.get() + 1);
            let number = sent.get();
            async move { if number == 3 { Ok(()) } else { Err(answer()) } }
        };
        let _ = patiently(&Clock::system(), PATIENCE, next).await;
        (sent.get(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        let passing: [fn() -> Trouble; 4] = [
            || refused(429, None),
            || refused(500, None),
            || refused(503, None),
            || Trouble::Lost { detail: String::new() },
        ];
        for answer in passing {
            let (sent, took) = third_time(answer).await;
            assert_eq!(sent, 3);
            assert!(took >= Duration::from_millis(300) && took <= Duration::from_millis(600), "{took:?}");
        }
        let lasting: [fn() -> Trouble; 4] =
            [|| refused(401, None), || refused(403, None), || refused(404, None), || refused(409, None)];
        for answer in lasting {
            assert_eq!(third_time(answer).await, (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_says_how_long_is_waited_for() {
        let (sent, took) = third_time(|| refused(503, Some(9))).await;
        assert_eq!(sent, 3);
        assert!(took >= Duration::from_secs(18), "{took:?}");
        assert_eq!(third_time(|| refused(503, Some(61))).await.0, 1, "longer than anybody has patience");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_an_attempt_and_then_the_patience() {
        let started = tokio::time::Instant::now();
        let answer = patiently(&Clock::system(), PATIENCE, std::future::pending::<Result<(), Trouble>>).await;
        assert!(matches!(answer, Err(Trouble::Lost { .. })));
        assert!(started.elapsed() <= PATIENCE.whole && started.elapsed() > PATIENCE.attempt * 2);
    }

    #[test]
    fn pauses_differ_within_their_half() {
        let clock = Clock::system();
        let drawn: Vec<_> = (0..100).map(|_| drawn(&clock, LONGEST_PAUSE)).collect();
        assert!(drawn.iter().all(|pause| (LONGEST_PAUSE / 2..=LONGEST_PAUSE).contains(pause)));
        assert!(drawn.iter().any(|pause| *pause != drawn[0]));
    }
}
