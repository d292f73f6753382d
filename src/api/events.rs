//! Answers that go on: server-sent events, each of them the JSON that would be the answer at that moment.
//!
//! A stream lives in the connection that it answers and nowhere else: a client that goes away takes it along.

use std::time::Duration;

use axum::{
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream::BoxStream};
use serde::Serialize;
use tokio::sync::watch;

use super::ApiError;
use crate::domain::words;

/// The answers to one request. One that is an error is the last.
pub type Events<T> = BoxStream<'static, Result<T, ApiError>>;

/// A proxy drops a connection on which nothing happens for a minute.
const QUIET: Duration = Duration::from_secs(15);

/// For nginx, and others that have learned it: pass on what comes as it comes.
const UNBUFFERED: [(&str, &str); 1] = [("x-accel-buffering", "no")];

/// An answer of events. It ends with the stream; cut short, it was an error of ours.
pub(super) fn answer<T: Serialize + 'static>(events: Events<T>) -> Response {
    let events = events.enumerate().map(|(before, answer)| answer.and_then(|it| event(before + 1, it)));
    let events = events.map(|event| event.map_err(|error| Broken::off(&error)));
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(QUIET));
    (UNBUFFERED, answer).into_response()
}

fn event(id: usize, answer: impl Serialize) -> Result<Event, ApiError> {
    Event::default().event("progress").id(id.to_string()).json_data(answer).map_err(ApiError::internal)
}

/// A stream that ends in the middle: there is no status left to say so with.
#[derive(Debug, thiserror::Error)]
#[error("a stream of events broke off")]
struct Broken;

impl Broken {
    /// The caller learns nothing, the log learns everything.
    fn off(error: &ApiError) -> Self {
        let why = error.cause().map_or_else(|| error.message().to_owned(), words);
        tracing::error!(error = why, "a stream of events broke off");
        Self
    }
}

/// The stream, until the service is told to stop: nobody who only watches holds that up.
pub(super) fn until<T>(mut stopped: watch::Receiver<bool>, events: impl Stream<Item = T>) -> impl Stream<Item = T> {
    events.take_until(async move {
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending::<()>().await;
        }
    })
}

/// Whether the caller asks for events: it names them, and JSON not as much. Who takes anything gets JSON.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let given = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let ranges = given.flat_map(|accept| accept.split(','));
        ranges.filter_map(|range| quality(range, wanted)).fold(0.0, f32::max)
    };
    quality("text/event-stream") > quality("application/json")
}

/// How much a range of media types wants this very one: 1 unless it says less.
fn quality(range: &str, wanted: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    parts.next().filter(|media| media.eq_ignore_ascii_case(wanted))?;
    let said = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    said.map_or(Some(1.0), |said| said.parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::wanted;

    fn accept(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn events_are_for_those_who_name_them() {
        for values in [
            &["text/event-stream"][..],
            &["Text/Event-Stream"],
            &["text/event-stream, */*"],
            &["*/*, text/event-stream;q=0.5"],
            &["application/json;q=0.5, text/event-stream;charset=utf-8;q=0.9"],
            &["application/json;q=0", "text/event-stream"],
        ] {
            assert!(wanted(&accept(values)), "{values:?}");
        }
    }

    #[test]
    fn everybody_else_gets_json() {
        for values in [
            &[][..],
            &["*/*"],
            &["text/*"],
            &["application/json"],
            &["application/json, text/event-stream"],
            &["text/event-stream;q=0"],
            &["text/event-stream;q=much"],
            &["text/event-stream-2"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
        ] {
            assert!(!wanted(&accept(values)), "{values:?}");
        }
    }
}
