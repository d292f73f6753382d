use std::{error::Error, time::Duration};

use object_store::client::{HttpError, HttpErrorKind};

use super::Trouble;
use crate::storage::{
    ErrorKind, StorageError,
    azure::{access::Proof, requests::Answer},
};

/// As the service writes it; the second line and the detail may hold what was signed.
fn answer(status: u16, code: &str) -> Trouble {
    let text = format!(
        "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>The words.\nRequestId:s3cr3t</Message>\
         <AuthenticationErrorDetail>s3cr3t</AuthenticationErrorDetail></Error>"
    );
    let answer = http::Response::builder().status(status).body(text.into()).unwrap();
    Trouble::refused(&answer)
}

fn explained(trouble: Trouble, proof: Proof) -> StorageError {
    let error = StorageError::new(trouble.kind(), "the store", "read", "k");
    trouble.into_error(error, "c", proof)
}

#[test]
fn a_status_becomes_a_kind_and_words_to_act_on() {
    let table = [
        (403, "AuthenticationFailed", ErrorKind::AccessDenied, "the account key is refused"),
        (400, "InvalidAuthenticationInfo", ErrorKind::AccessDenied, "the account key is refused"),
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
        let error = explained(answer(status, code), Proof::Key);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&format!("the store: cannot read 'k': status {status} {code}: {words}")));
        assert_eq!(error.is_store_missing(), code == "ContainerNotFound");
        assert_eq!(error.source().unwrap().to_string(), "The words.");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
}

#[test]
fn a_managed_identity_that_is_refused_is_told_of_roles_and_not_of_keys() {
    let said = |code| explained(answer(403, code), Proof::Identity).to_string();
    assert!(said("AuthorizationPermissionMismatch").contains("Storage Blob Data Contributor"));
    assert!(said("AuthenticationFailed").contains("token is refused"));
}

#[test]
fn each_proof_that_is_refused_is_told_in_words_of_its_own() {
    let mut all = std::collections::HashSet::new();
    for proof in [Proof::Key, Proof::Signature, Proof::KeyOrSignature, Proof::Identity] {
        for code in ["AuthenticationFailed", "AuthorizationFailure"] {
            assert!(all.insert(explained(answer(403, code), proof).to_string()), "{proof:?} {code}");
        }
    }
    let ended = answer(403, "AuthenticationFailed").of_what_ended("2026-01-02T03:04:05Z".parse().unwrap());
    let missing = explained(ended.clone().while_making_the_container(), Proof::Signature).to_string();
    let ended = explained(ended, Proof::Signature);
    assert_eq!(ended.kind(), ErrorKind::AccessDenied);
    for said in [ended.to_string(), missing] {
        assert!(said.contains("status 403 AuthenticationFailed: the SAS ended at 2026-01-02T03:04:05Z"), "{said}");
    }
}

#[test]
fn a_line_that_breaks_is_no_answer() {
    let broken = HttpError::new(HttpErrorKind::Interrupted, std::io::Error::other("connection reset"));
    let trouble = Trouble::lost(&broken);
    assert!(matches!(trouble, Trouble::Lost { .. }) && trouble.may_pass());
    let error = explained(trouble, Proof::Key);
    assert_eq!(error.to_string(), "the store: cannot read 'k': the store cannot be reached");
    assert_eq!(error.source().unwrap().to_string(), "connection reset");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_not_tried_again_and_names_the_setting() {
    let cause = std::io::Error::other("invalid peer certificate: UnknownIssuer");
    let trouble = Trouble::lost(&HttpError::new(HttpErrorKind::Connect, cause));
    assert!(!trouble.may_pass());
    assert!(explained(trouble, Proof::Key).to_string().contains("[storage] ca_files"));
}

#[test]
fn what_is_neither_keeps_its_words() {
    let error = object_store::Error::Generic { store: "Azure", source: "odd".into() };
    let error = explained(error.into(), Proof::Key);
    assert_eq!((error.kind(), error.source().unwrap().to_string().as_str()), (ErrorKind::Other, "odd"));
}

#[test]
fn a_container_that_cannot_be_made_says_both() {
    let trouble = answer(403, "AuthenticationFailed").while_making_the_container();
    let error = explained(trouble, Proof::Key);
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    let words = "container c does not exist and could not be made: status 403 AuthenticationFailed: the account key";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn how_long_the_service_wants_to_be_left_alone_is_heard() {
    let answer = http::Response::builder().status(503).header("Retry-After", "7").body(Vec::new().into()).unwrap();
    assert_eq!(Trouble::refused(&Answer::from(answer)).retry_after(), Some(Duration::from_secs(7)));
}
