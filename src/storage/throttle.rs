//! How long the bounds of this node hold a call up, told to whoever makes it apart from what the store takes.
//!
//! Whoever waits for a bound says so with [`hold`]; that decides nothing.

use std::{cell::Cell, time::Duration};

use tokio::{task_local, time::Instant};

task_local! {
    static HELD: Cell<Duration>;
}

/// What `call` answers, and how long bounds held it up.
pub async fn throttled<T>(call: impl Future<Output = T>) -> (T, Duration) {
    HELD.scope(Cell::default(), async {
        let answer = call.await;
        (answer, HELD.with(Cell::get))
    })
    .await
}

/// Waits for a bound in the name of the call that is held up, if anybody asked.
pub(super) async fn hold<T>(wait: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = wait.await;
    // An error: nobody asked.
    let _ = HELD.try_with(|held| held.set(held.get() + begun.elapsed()));
    done
}
