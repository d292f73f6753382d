use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

use super::Trouble;
use crate::storage::{ErrorKind, StorageError};

/// As the service writes it; the second line and the detail may hold what was signed.
fn answer(status: u16, code: &str) -> object_store::Error {
    let text = format!(
        "Server returned non-2xx status code: {status} Some Reason: \u{feff}<?xml version=\"1.0\"?><Error><Code>{code}\
         </Code><Message>The words.\nRequestId:s3cr3t</Message><AuthenticationErrorDetail>s3cr3t\
         </AuthenticationErrorDetail></Error>"
    );
    object_store::Error::Generic { store: "Azure", source: text.into() }
}

fn explained(trouble: Trouble) -> StorageError {
    let error = StorageError::new(trouble.kind(), "the store", "read", "k");
    trouble.into_error(error, "c")
}

#[test]
fn a_status_becomes_a_kind_and_words_to_act_on() {
    let table = [
        (403, "AuthenticationFailed", ErrorKind::AccessDenied, "the account key or SAS is refused"),
        (403, "AuthorizationPermissionMismatch", ErrorKind::AccessDenied, "the SAS does not allow this"),
        (403, "SomethingNew", ErrorKind::AccessDenied, "access is denied"),
        (401, "NoAuthenticationInformation", ErrorKind::AccessDenied, "access is denied"),
        (404, "BlobNotFound", ErrorKind::NotFound, "it is not there"),
        (404, "ContainerNotFound", ErrorKind::NotFound, "container c does not exist"),
        (409, "BlobAlreadyExists", ErrorKind::AlreadyExists, "that name is already taken"),
        (409, "ContainerBeingDeleted", ErrorKind::Unreachable, "container c is being deleted"),
        (412, "ConditionNotMet", ErrorKind::AlreadyExists, "that name is already taken"),
        (413, "RequestBodyTooLarge", ErrorKind::Invalid, "the service refused the request"),
        (429, "TooManyRequests", ErrorKind::Unreachable, "the service is busy or failing"),
        (503, "ServerBusy", ErrorKind::Unreachable, "the service is busy or failing"),
        (418, "Teapot", ErrorKind::Other, "the service refused the request"),
    ];
    for (status, code, kind, words) in table {
        let error = explained(answer(status, code).into());
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&format!("the store: cannot read 'k': status {status} {code}: {words}")));
        assert_eq!(error.is_store_missing(), code == "ContainerNotFound");
        assert_eq!(error.source().unwrap().to_string(), "The words.");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
}

#[test]
fn a_line_that_breaks_is_no_answer() {
    let broken = HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other("connection reset"));
    let error = object_store::Error::Generic { store: "Azure", source: broken.into() };
    let trouble = Trouble::from(error);
    assert!(trouble.is_lost() && trouble.may_pass());
    let error = explained(trouble);
    assert_eq!(error.to_string(), "the store: cannot read 'k': the store cannot be reached");
    assert_eq!(error.source().unwrap().to_string(), "connection reset");
}

#[test]
fn what_is_neither_keeps_its_words() {
    let error = object_store::Error::Generic { store: "Azure", source: "odd".into() };
    let error = explained(error.into());
    assert_eq!((error.kind(), error.source().unwrap().to_string().as_str()), (ErrorKind::Other, "odd"));
}

#[test]
fn a_container_that_cannot_be_made_says_both() {
    let error = explained(Trouble::from(answer(403, "AuthenticationFailed")).while_making_the_container());
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    let words = "container c does not exist and could not be made: status 403 AuthenticationFailed: the account key";
    assert!(error.to_string().contains(words), "{error}");
}
