//! Reads the body: its media type, its size, its JSON, then its schema.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, schema, wire::FabricErrorCodes};

const MOST_BYTES: usize = 4 << 20;
const MOST_DISCARDED: usize = 16 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The body; an empty one and `null` are none.
pub(super) async fn read<T: DeserializeOwned + JsonSchema + 'static>(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<T>, ApiError> {
    let bytes = receive(headers, body).await?;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes).trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    check_media_type(headers)?;
    match parse(text)? {
        Value::Null => Ok(None),
        value => schema::read(value).map(Some),
    }
}

/// Takes the body in. One that is too large is taken too, and thrown away, as long as that is reasonable: a client that is
/// still sending when the connection closes never sees the answer. One that asked first can be told at once.
async fn receive(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if headers.contains_key(header::EXPECT) && announced.is_some_and(|length| length > MOST_BYTES) {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut seen) = (BytesMut::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::invalid("body: ended before it was complete."))?;
        seen += piece.len();
        if seen <= MOST_BYTES {
            bytes.extend_from_slice(&piece);
        } else if seen > MOST_DISCARDED {
            break;
        }
    }
    if seen > MOST_BYTES { Err(too_large()) } else { Ok(bytes.freeze()) }
}

fn too_large() -> ApiError {
    let message = format!("body: is larger than {MOST_BYTES} bytes.");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, FabricErrorCodes::FabricEValueTooLarge, message)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
    if given.as_deref().is_some_and(is_json) {
        return Ok(());
    }
    let given = given.map_or_else(|| "no Content-Type".to_owned(), |given| schema::shortened(&given));
    let message = format!("body: {given} was given; send it as application/json in UTF-8.");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, FabricErrorCodes::EInvalidarg, message))
}

fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let json = matches!(essence, "application/json" | "text/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    let mut charsets = parts.filter_map(|parameter| parameter.strip_prefix("charset="));
    json && charsets.all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8"))
}

fn parse(text: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(text).map_err(|error| ApiError::invalid(format!("body: is not JSON: {error}.")))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
