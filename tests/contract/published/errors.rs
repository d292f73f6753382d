//! Reads the error lists that end the descriptions of the operations: lines of the form "- 404 `CODE`: when".

use super::facts::{entries, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The (status, code) pairs that an operation says it can answer, by operation.
pub(super) fn listed(document: &Value) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let operations = entries(&document["paths"]).flat_map(|(_, item)| entries(item)).map(|(_, operation)| operation);
    operations.map(|operation| (text(&operation["operationId"]), list(text(&operation["description"])))).collect()
}

fn list(description: &str) -> Vec<(&str, &str)> {
    description.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(&str, &str)> {
    let (status, rest) = line.strip_prefix("- ")?.split_once(" `")?;
    let (code, _when) = rest.split_once("`: ")?;
    status.parse::<u16>().is_ok().then_some((status, code))
}

/// Every pair that some operation lists, as facts; without the codes that are marked as ours.
pub(super) fn answered(document: &Value) -> Value {
    let ours = &document["components"]["schemas"]["FabricErrorCodes"]["x-extension-values"];
    let is_ours = |code: &str| ours.as_array().is_some_and(|ours| ours.contains(&json!(code)));
    let mut facts = json!({});
    for (status, code) in listed(document).into_values().flatten().filter(|(_, code)| !is_ours(code)) {
        facts[status][code] = json!(true);
    }
    facts
}

/// Of those facts the ones that `published`, a table of status -> codes, has. What is never answered is no gap.
pub(super) fn confirmed(published: &Value, answered: &Value) -> Value {
    let mut facts = json!({});
    for (status, codes) in entries(answered) {
        let table = published[status].as_array().cloned().unwrap_or_default();
        for (code, _) in entries(codes).filter(|(code, _)| table.contains(&json!(code))) {
            facts[status][code] = json!(true);
        }
    }
    facts
}

#[test]
fn a_line_of_the_list_is_a_status_and_a_code() {
    assert_eq!(list("Errors:\n\n- 404 `E_X`: gone; see `y`.\n- 504 `E_Z`: late."), [("404", "E_X"), ("504", "E_Z")]);
    assert_eq!(list("- see `E_X`: no status\n404 `E_X`: no dash\n- 404 E_X: no quotes"), []);
}
