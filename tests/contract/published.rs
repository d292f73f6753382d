//! Holds openapi/backup-restore.yaml against `published.json`, the facts of the API that Service Fabric publishes.
//!
//! What is published must be in our document and be equal; what we have beyond it is marked `x-extension` there, or
//! is listed with its reason in `deviations.yaml`, the only such list. An entry of that list that no longer deviates
//! is an error, too.

mod compare;
mod compare_tests;
mod errors;
mod facts;

use compare::{Deviation, differences, unexplained};
use facts::{entries, facts, text};
use serde_json::{Value, json};

fn document() -> Value {
    yaml_serde::from_str(include_str!("../../openapi/backup-restore.yaml")).expect("our document is YAML")
}

fn published() -> Value {
    serde_json::from_str(include_str!("published.json")).expect("the published table is JSON")
}

fn deviations() -> Vec<Deviation> {
    yaml_serde::from_str(include_str!("deviations.yaml")).expect("the deviations have their form")
}

/// The published table cut down to what a document can say, and our document in the same form.
fn sides(document: &Value) -> (Value, Value) {
    let (mut published, mut ours) = (published(), facts(document));
    ours["errors"] = errors::answered(document);
    published["errors"] = errors::confirmed(&published["errors"], &ours["errors"]);
    let table = published.as_object_mut().expect("the published table is an object");
    table.retain(|part, _| !["about", "kinds", "examples"].contains(&part.as_str()));
    (published, ours)
}

#[test]
fn our_document_says_what_is_published_and_nothing_more_unmarked() {
    let (published, ours) = sides(&document());
    let open = unexplained(&differences(&published, &ours), &deviations());
    assert!(open.is_empty(), "{}", open.join("\n"));
}

#[test]
fn the_published_table_is_whole() {
    let published = published();
    let count = |part: &str| entries(&published[part]).count();
    let counts = ["operations", "parameters", "schemas", "unions", "enums"].map(count);
    assert_eq!(counts, [29, 14, 33, 6, 14]);
    assert_eq!(published["enums"]["FabricErrorCodes"].as_array().unwrap().len(), 84);
}

#[test]
fn every_kind_of_a_published_union_has_its_variant() {
    let published = published();
    for (union, kinds) in entries(&published["kinds"]) {
        let kinds = published["enums"][text(kinds)].as_array().unwrap();
        let mut named: Vec<_> = kinds.iter().map(text).filter(|kind| *kind != "Invalid").collect();
        let mut mapped: Vec<_> =
            entries(&published["unions"][union]["variants"]).map(|(kind, _)| kind.as_str()).collect();
        named.sort_unstable();
        mapped.sort_unstable();
        assert_eq!(named, mapped, "{union}");
    }
}

#[test]
fn the_examples_of_backup_partition_are_the_published_ones_in_their_order() {
    let body = &document()["paths"]["/Partitions/{partitionId}/$/Backup"]["post"]["requestBody"];
    let examples = entries(&body["content"]["application/json"]["examples"]);
    let ours: Value = examples.map(|(_, example)| example["value"].clone()).collect();
    assert_eq!(ours, published()["examples"]);
}

#[test]
fn every_value_that_is_marked_as_ours_is_in_its_enum() {
    let document = document();
    for (name, schema) in entries(&document["components"]["schemas"]) {
        for value in schema["x-extension-values"].as_array().into_iter().flatten() {
            assert!(schema["enum"].as_array().unwrap().contains(value), "{name}: {value}");
        }
    }
}

#[test]
fn every_operation_lists_the_errors_that_it_can_answer() {
    let document = document();
    let codes = document["components"]["schemas"]["FabricErrorCodes"]["enum"].as_array().unwrap();
    for (operation, listed) in errors::listed(&document) {
        for always in [("400", "E_INVALIDARG"), ("500", "E_FAIL"), ("504", "FABRIC_E_TIMEOUT")] {
            assert!(listed.contains(&always), "{operation} lacks {always:?}");
        }
        let unknown: Vec<_> = listed.iter().filter(|(_, code)| !codes.contains(&json!(code))).collect();
        assert!(unknown.is_empty(), "{operation} lists {unknown:?}");
    }
}

#[test]
fn every_operation_has_one_tag_and_every_tag_is_described() {
    let document = document();
    let tags: Vec<_> =
        document["tags"].as_array().unwrap().iter().filter(|tag| tag["description"].is_string()).collect();
    for (_, operation) in entries(&document["paths"]).flat_map(|(_, item)| entries(item)) {
        let [tag] = operation["tags"].as_array().unwrap().as_slice() else { panic!("{}", operation["operationId"]) };
        assert!(tags.iter().any(|known| known["name"] == *tag), "{tag}");
    }
}
