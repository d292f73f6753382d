//! What the progress of every kind of job has in common.

use chrono::{DateTime, Utc};

use super::super::wire;
use crate::ops::{Measured, Progress, Stage};

/// How far a job is, as it is answered. What is not known is left out.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) bytes_total: Option<i64>,
    pub(super) bytes_processed: Option<i64>,
    pub(super) bytes_stored: Option<i64>,
    pub(super) files_total: Option<i64>,
    pub(super) files_processed: Option<i64>,
    pub(super) percent: Option<i64>,
    pub(super) started: Option<DateTime<Utc>>,
    pub(super) completion: Option<DateTime<Utc>>,
    pub(super) stages: Option<wire::StageMilliseconds>,
}

impl Moved {
    pub(super) fn of(progress: &Progress) -> Self {
        let times = Self {
            percent: progress.percent.map(i64::from),
            started: progress.started,
            completion: progress.completion,
            ..Self::default()
        };
        match &progress.measured {
            None => times,
            Some(measured) => Self {
                bytes_total: Some(number(measured.bytes_total)),
                bytes_processed: Some(number(measured.bytes_processed)),
                bytes_stored: Some(number(measured.bytes_stored)),
                files_total: Some(number(measured.files_total)),
                files_processed: Some(number(measured.files_processed)),
                stages: Some(stages(measured)),
                ..times
            },
        }
    }
}

fn stages(measured: &Measured) -> wire::StageMilliseconds {
    let spent = |stage| i64::try_from(measured.spent(stage).as_millis()).unwrap_or(i64::MAX);
    wire::StageMilliseconds {
        read: spent(Stage::Read),
        hash: spent(Stage::Hash),
        compress: spent(Stage::Compress),
        write: spent(Stage::Write),
        throttled: spent(Stage::Throttled),
    }
}

/// A count, as a number of the wire.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
