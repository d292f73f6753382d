use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{Object, Trouble, checked};

/// One answer to a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Where the next answer starts, if there is more.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    #[serde(default)]
    blobs: Blobs,
    #[serde(default)]
    next_marker: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Blobs {
    #[serde(default)]
    blob: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: Name,
    properties: Properties,
}

/// Percent-encoded when XML could not hold it; none of our keys is.
#[derive(Deserialize)]
struct Name {
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    #[serde(rename = "Content-Length")]
    content_length: u64,
    #[serde(default)]
    etag: String,
    /// Accounts with real directories list those too.
    #[serde(default)]
    resource_type: String,
}

/// One answer about an upload.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlockList {
    #[serde(default)]
    uncommitted_blocks: Blocks,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Blocks {
    #[serde(default)]
    block: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    name: String,
    size: u64,
}

/// The blocks that are no blob yet; those whose names are no base64 are none of ours.
pub(super) fn uploaded_blocks(answer: &[u8]) -> Result<BTreeMap<Vec<u8>, u64>, Trouble> {
    let list: BlockList = parse(answer)?;
    let blocks = list.uncommitted_blocks.block.iter();
    Ok(blocks.filter_map(|block| Some((BASE64_STANDARD.decode(&block.name).ok()?, block.size))).collect())
}

fn parse<T: for<'de> Deserialize<'de>>(answer: &[u8]) -> Result<T, Trouble> {
    let text = String::from_utf8_lossy(answer);
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Trouble::Other { detail: format!("the listing cannot be read: {error}") })
}

impl Page {
    pub(super) fn parse(answer: &[u8]) -> Result<Self, Trouble> {
        let results: Results = parse(answer)?;
        let next = Some(results.next_marker).filter(|marker| !marker.is_empty());
        Ok(Self { objects: results.blobs.blob.iter().filter_map(ours).collect(), next })
    }
}

/// Nothing for what no key of ours can name.
fn ours(blob: &Blob) -> Option<Object> {
    let directory = blob.properties.resource_type == "directory";
    let key = checked(&blob.name.text).ok().filter(|_| !blob.name.encoded && !directory)?.to_owned();
    Some(Object { key, size: blob.properties.content_length, tag: blob.properties.etag.clone() })
}

#[cfg(test)]
mod tests {
    use super::{Object, Page};

    const ANSWER: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\
        <EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>a</Prefix><Blobs>\
        <Blob><Name>a&amp;b/ &lt;c&gt; &#x416;</Name><Properties><Etag>0x1</Etag><Content-Length>7</Content-Length>\
        <BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>\
        <Blob><Name>a/dir</Name><Properties><ResourceType>directory</ResourceType><Content-Length>0</Content-Length>\
        </Properties></Blob>\
        <Blob><Name Encoded=\"true\">a%EF%BF%BE</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>\
        <Blob><Name>a//b</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>\
        </Blobs><NextMarker>more!</NextMarker></EnumerationResults>";

    #[test]
    fn an_answer_is_read_and_what_is_not_ours_left_out() {
        let ours = Object { key: "a&b/ <c> Ж".to_owned(), size: 7, tag: "0x1".to_owned() };
        let page = Page::parse(ANSWER.as_bytes()).unwrap();
        assert_eq!(page, Page { objects: vec![ours], next: Some("more!".to_owned()) });
    }

    #[test]
    fn an_empty_answer_has_no_objects_and_no_next() {
        let answer = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        assert_eq!(Page::parse(answer.as_bytes()).unwrap(), Page { objects: Vec::new(), next: None });
        assert!(Page::parse(b"<html>").is_err());
    }
}
