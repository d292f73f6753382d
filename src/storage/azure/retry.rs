//! When a request is sent again: after 408, 429, 500 to 504 and silence, never after any other answer.
//!
//! The pauses double, and each is drawn between half and whole, so that many who were turned away together do not come
//! back together. A service that says how long to wait is waited for. The pauses are the network's business, so they use
//! tokio's timer and not the product's clock.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::Trouble;
use crate::clock::Clock;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of whoever waits for as long as it takes.
const LONGEST_PAUSE_OF_ALL: Duration = Duration::from_secs(15);

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// For the answer to one attempt.
    pub(super) attempt: Duration,
    /// For all attempts with the pauses between them; none: until somebody drops the request.
    pub(super) whole: Option<Duration>,
}

/// What a service is waited for at the moment: the trouble that came last, unless a request was answered since or none is
/// left that is to be sent again.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Option<(String, Trouble)>,
    /// How many requests had trouble and are not over.
    troubled: usize,
}

/// A request that had trouble; dropped once it is over, however it ends.
struct Troubled<'a>(&'a Waits);

impl Waits {
    /// The name that the request is about, and why it is sent again.
    pub(super) fn last(&self) -> Option<(String, Trouble)> {
        self.known().last.clone()
    }

    /// The same as the function, and tells meanwhile what is waited for.
    pub(super) async fn patiently<T, F>(
        &self,
        clock: &Clock,
        patience: Patience,
        about: &str,
        mut send: impl FnMut() -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let deadline = patience.whole.map(|whole| Instant::now() + whole);
        let longest = if deadline.is_some() { LONGEST_PAUSE } else { LONGEST_PAUSE_OF_ALL };
        let mut pause = FIRST_PAUSE;
        let mut troubled = None;
        loop {
            let until = Instant::now() + patience.attempt;
            let trouble = match timeout_at(deadline.map_or(until, |deadline| deadline.min(until)), send()).await {
                Ok(Err(passing)) if passing.may_pass() => passing,
                Ok(answer) => {
                    self.known().last = None;
                    return answer;
                }
                Err(_) => Trouble::silence(patience.whole.unwrap_or(patience.attempt).min(patience.attempt)),
            };
            let again = Instant::now() + drawn(clock, pause).max(trouble.retry_after().unwrap_or_default());
            if deadline.is_some_and(|deadline| again > deadline) {
                return Err(trouble);
            }
            troubled.get_or_insert_with(|| Troubled::of(self));
            self.known().last = Some((about.to_owned(), trouble));
            sleep_until(again).await;
            pause = longest.min(pause * 2);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Troubled<'a> {
    fn of(waits: &'a Waits) -> Self {
        waits.known().troubled += 1;
        Self(waits)
    }
}

impl Drop for Troubled<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.troubled -= 1;
        if known.troubled == 0 {
            known.last = None;
        }
    }
}

/// Sends until the answer is one that another attempt would not better.
pub(super) async fn patiently<T, F>(clock: &Clock, patience: Patience, send: impl FnMut() -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    Waits::default().patiently(clock, patience, "", send).await
}

/// Between a half and the whole of it.
fn drawn(clock: &Clock, pause: Duration) -> Duration {
    let [.., chance] = clock.uuid().into_bytes();
    pause / 2 + pause / 2 * u32::from(chance) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::{LONGEST_PAUSE, LONGEST_PAUSE_OF_ALL, Patience, Waits, drawn, patiently};
    use crate::{clock::Clock, storage::azure::trouble::Trouble};

    const WHOLE: Duration = Duration::from_mins(1);
    const PATIENCE: Patience = Patience { attempt: Duration::from_secs(20), whole: Some(WHOLE) };

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
        let silent = std::future::pending::<Result<(), Trouble>>;
        let answer = patiently(&Clock::system(), PATIENCE, silent).await;
        assert!(matches!(answer, Err(Trouble::Lost { .. })));
        assert!(started.elapsed() <= WHOLE && started.elapsed() > PATIENCE.attempt * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_end_it_is_sent_until_it_is_answered_and_tells_meanwhile_what_is_waited_for() {
        let (started, sent, waits) = (tokio::time::Instant::now(), Cell::new(0), Waits::default());
        let back = started + WHOLE * 60;
        let next = || {
            sent.set(sent.get() + 1);
            let seen = waits.last().map(|(about, trouble)| (about, trouble.into_detail()));
            let expected = (sent.get() > 1).then(|| ("a.zip".to_owned(), "refused".to_owned()));
            assert_eq!(seen, expected);
            let is_back = tokio::time::Instant::now() >= back;
            async move { if is_back { Ok(()) } else { Err(Trouble::Lost { detail: "refused".to_owned() }) } }
        };
        let patience = Patience { whole: None, ..PATIENCE };
        waits.patiently(&Clock::system(), patience, "a.zip", next).await.unwrap();
        assert!(started.elapsed() < WHOLE * 60 + LONGEST_PAUSE_OF_ALL);
        assert!(sent.get() > 240 && sent.get() < 500, "{}", sent.get());
        assert!(waits.last().is_none());
    }

    /// Loses its requests until the patience is over.
    async fn lose(waits: &Waits, whole: Duration) {
        let lost = || async { Err::<(), _>(Trouble::Lost { detail: "refused".to_owned() }) };
        let patience = Patience { whole: Some(whole), ..PATIENCE };
        waits.patiently(&Clock::system(), patience, "a.zip", lost).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_by_who_gave_up_or_was_dropped() {
        let waits = Waits::default();
        lose(&waits, WHOLE).await;
        assert!(waits.last().is_none(), "it gave up");
        {
            let mut dropped = Box::pin(lose(&waits, WHOLE));
            tokio::time::timeout(WHOLE / 2, &mut dropped).await.unwrap_err();
            assert!(waits.last().is_some());
            lose(&waits, WHOLE / 4).await;
            assert!(waits.last().is_some(), "one of two is left");
        }
        assert!(waits.last().is_none());
    }

    #[test]
    fn pauses_differ_within_their_half() {
        let clock = Clock::system();
        let drawn: Vec<_> = (0..100).map(|_| drawn(&clock, LONGEST_PAUSE)).collect();
        assert!(drawn.iter().all(|pause| (LONGEST_PAUSE / 2..=LONGEST_PAUSE).contains(pause)));
        assert!(drawn.iter().any(|pause| *pause != drawn[0]));
    }
}
