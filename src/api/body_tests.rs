use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use futures::stream;

use super::read;
use crate::api::{ApiError, wire::DisableBackupDescription};

async fn sent(media_type: Option<&'static str>, body: impl Into<Body>) -> Result<Option<bool>, ApiError> {
    let media_type = media_type.map(|it| (header::CONTENT_TYPE, HeaderValue::from_static(it)));
    let headers = HeaderMap::from_iter(media_type);
    let read: Option<DisableBackupDescription> = read(&headers, body.into()).await?;
    Ok(read.map(|it| it.clean_backup))
}

#[tokio::test]
async fn json_is_read_by_every_name_it_has() {
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
        "text/json",
        "application/merge-patch+json",
    ] {
        let read = sent(Some(media_type), "\u{feff}{\"CleanBackup\": true}").await;
        assert_eq!(read.unwrap(), Some(true), "{media_type}");
    }
}

#[tokio::test]
async fn an_empty_body_and_null_are_none() {
    for (media_type, body) in [
        (None, ""),
        (Some("application/json; charset=utf-8"), ""),
        (Some("application/json"), " \r\n"),
        (Some("application/json"), "null"),
    ] {
        assert_eq!(sent(media_type, body).await.unwrap(), None, "{media_type:?} {body:?}");
    }
}

#[tokio::test]
async fn what_is_not_json_by_name_is_refused() {
    for media_type in [None, Some("text/plain"), Some("application/xml"), Some("application/json; charset=latin1")] {
        let error = sent(media_type, "{\"CleanBackup\": true}").await.unwrap_err();
        assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type:?}");
    }
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let error = sent(Some("application/json"), "{\n  \"CleanBackup\": tru }").await.unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    assert_eq!(error.message(), "body: is not JSON: expected ident at line 2 column 21.");
    let error = sent(Some("application/json"), Bytes::from_static(b"{\"a\": \"\xff\"}")).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_may_have_4_mib_and_not_a_byte_more() {
    let body = |size: usize| format!("{{\"CleanBackup\": true}}{}", " ".repeat(size - 21));
    assert_eq!(sent(Some("application/json"), body(4 << 20)).await.unwrap(), Some(true));
    let error = sent(Some("application/json"), body((4 << 20) + 1)).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let pieces = body((4 << 20) + 1).into_bytes().chunks(1 << 20).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let stream = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
    assert_eq!(sent(Some("application/json"), stream).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_callers_fault() {
    let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    let error = sent(Some("application/json"), Body::from_stream(stream::iter(pieces))).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let announced = (header::CONTENT_LENGTH, HeaderValue::from_static("4194305"));
    let headers = HeaderMap::from_iter([announced, (header::EXPECT, HeaderValue::from_static("100-continue"))]);
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let error = read::<DisableBackupDescription>(&headers, never).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
