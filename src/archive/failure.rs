//! Which [`FailureCode`] each error of this module is, for the records of jobs and for callers of the API.

use super::{
    catalog::CatalogError,
    extract::ExtractError,
    pack::PackError,
    read::ReadError,
    remove::RemoveError,
    write::{CommitError, WriteError},
};
use crate::{domain::FailureCode, storage::ProbeError};

impl ReadError {
    /// For programs.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Location(_) | Self::Foreign(_) => FailureCode::InvalidArgument,
            Self::NotFound { .. } => FailureCode::NotFound,
            Self::Metadata { .. } | Self::Missing(_) | Self::Damaged { .. } | Self::Manifest { .. } => {
                FailureCode::Damaged
            }
            Self::Spool { .. } => FailureCode::Other,
            Self::Storage(error) => error.code(),
        }
    }
}

impl CatalogError {
    /// For programs.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Spec(_) => FailureCode::InvalidArgument,
            Self::Storage(error) => error.code(),
            Self::Gone(_) => FailureCode::Unreachable,
            Self::Read(error) => error.code(),
            Self::Probe(ProbeError::Failed { source, .. }) => source.code(),
            Self::Probe(ProbeError::Changed | ProbeError::Unlisted) => FailureCode::Other,
        }
    }
}

impl RemoveError {
    /// For programs.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Location(_) => FailureCode::InvalidArgument,
            Self::Record { source, .. } | Self::Data { source, .. } => source.code(),
        }
    }
}

impl<E: std::error::Error + 'static> WriteError<E> {
    /// For programs; the source's own errors are its caller's to judge.
    pub fn code(&self, of_source: impl FnOnce(&E) -> FailureCode) -> FailureCode {
        match self {
            Self::Source(error) => of_source(error),
            Self::Storage(error) | Self::Vanished(error) => error.code(),
            Self::Location(_) => FailureCode::InvalidArgument,
            Self::Taken(_) | Self::Stopped => FailureCode::Other,
        }
    }
}

impl<E: std::error::Error + 'static> ExtractError<E> {
    /// For programs; the sink's own errors are its caller's to judge.
    pub fn code(&self, of_sink: impl FnOnce(&E) -> FailureCode) -> FailureCode {
        match self {
            Self::Sink(error) => of_sink(error),
            Self::Read(error) => error.code(),
            Self::Damaged { .. } => FailureCode::Damaged,
            Self::Stopped => FailureCode::Aborted,
        }
    }
}

impl PackError {
    /// For programs, where the reason is not an error of the source itself.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Reserved(_) => FailureCode::InvalidArgument,
            Self::Base(_) | Self::Left(_) => FailureCode::Damaged,
            Self::Order(_)
            | Self::Read { .. }
            | Self::Length { .. }
            | Self::Start(_)
            | Self::Compress(_)
            | Self::Write { .. }
            | Self::Stopped => FailureCode::Other,
        }
    }
}

impl CommitError {
    /// For programs.
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Taken(_) => FailureCode::Other,
        }
    }
}
