//! The one table: what a use case answers with -> status, published code, public message.

use axum::http::StatusCode;

use super::{ApiError, tell, wire::FabricErrorCodes as Codes};
use crate::{
    domain::{FailureCode, words},
    ops::{Error, RetentionError},
};

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::ApplicationNotFound(_) => (StatusCode::NOT_FOUND, Codes::FabricEApplicationNotFound),
            Error::ServiceNotFound(_) => (StatusCode::NOT_FOUND, Codes::FabricEServiceDoesNotExist),
            Error::PartitionNotFound(_) => (StatusCode::NOT_FOUND, Codes::FabricEPartitionNotFound),
            Error::NotPersisted(_) => (StatusCode::BAD_REQUEST, Codes::FabricEInvalidForStatelessServices),
            Error::BackupNotEnabled(_) | Error::NoStorage(_) => (StatusCode::NOT_FOUND, Codes::FabricEBackupNotEnabled),
            Error::NotEnabledOn(_) | Error::NothingEnabled(_) => {
                (StatusCode::NOT_FOUND, Codes::FabricEBackupNotEnabled)
            }
            Error::NothingToCancel { .. } => (StatusCode::NOT_FOUND, Codes::FabricEKeyNotFound),
            Error::KeyTaken => (StatusCode::CONFLICT, Codes::FabricESequenceNumberCheckFailed),
            Error::BackupInProgress(_) => (StatusCode::CONFLICT, Codes::FabricEBackupInProgress),
            Error::RestoreInProgress(_) | Error::RestoreCommitting(_) => {
                (StatusCode::CONFLICT, Codes::FabricERestoreInProgress)
            }
            Error::VerifyInProgress(_) => (StatusCode::CONFLICT, Codes::FabricEOperationNotComplete),
            Error::PolicyExists(_) => (StatusCode::CONFLICT, Codes::FabricEBackupPolicyAlreadyExisting),
            Error::PolicyNotFound(_) => (StatusCode::NOT_FOUND, Codes::FabricEBackupPolicyNotExisting),
            Error::PolicyEnabled { .. } => (StatusCode::BAD_REQUEST, Codes::FabricEBackupIsEnabled),
            Error::Location(_)
            | Error::Name(_)
            | Error::Foreign(_)
            | Error::StorageTooLong(_)
            | Error::PolicyStorageTooLong(_)
            | Error::Masked(_)
            | Error::Connection(_)
            | Error::Token => (StatusCode::BAD_REQUEST, Codes::EInvalidarg),
            Error::OtherBackup { .. } | Error::OtherKeys { .. } => {
                (StatusCode::BAD_REQUEST, Codes::FabricERestoreSourceTargetPartitionMismatch)
            }
            Error::Unreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, Codes::FabricERestoreSafeCheckFailed),
            Error::Catalog(error) | Error::PolicyStorage(error) | Error::GivenStorage { source: error, .. } => {
                (store_status(error.code()), tell::code(error.code()))
            }
            Error::Retention(RetentionError::Ledger(_)) | Error::Job(_) | Error::Ledger(_) => {
                return Self::internal(error);
            }
            Error::Retention(error) => (store_status(error.code()), tell::code(error.code())),
        };
        Self::new(status, code, message(&error))
    }
}

/// What was wrong with a storage begins with the property that was.
fn message(error: &Error) -> String {
    match error {
        Error::Catalog(storage) if let Some(property) = storage.property() => format!("{property}: {}", words(error)),
        Error::PolicyStorage(storage) => located("Storage", storage.property(), &words(storage)),
        Error::GivenStorage { field, source } => located(field, source.property(), &words(source)),
        _ => words(error),
    }
}

/// `field` is the property that the storage came in.
fn located(field: &str, property: Option<&str>, why: &str) -> String {
    let property = property.map_or_else(String::new, |property| format!(".{property}"));
    format!("{field}{property}: {why}")
}

fn store_status(code: FailureCode) -> StatusCode {
    match code {
        FailureCode::InvalidArgument => StatusCode::BAD_REQUEST,
        FailureCode::NotBuilt => StatusCode::NOT_IMPLEMENTED,
        FailureCode::AccessDenied => StatusCode::FORBIDDEN,
        FailureCode::NotFound => StatusCode::NOT_FOUND,
        FailureCode::Timeout | FailureCode::Unreachable => StatusCode::GATEWAY_TIMEOUT,
        FailureCode::Aborted => StatusCode::SERVICE_UNAVAILABLE,
        FailureCode::Damaged | FailureCode::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
