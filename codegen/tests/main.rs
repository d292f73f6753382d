//! The generator on a small contract that has one of everything, and on what it cannot express.

#[path = "../generator.rs"]
mod generator;

use generator::generate;

const SAMPLE: &str = include_str!("sample.yaml");

fn generated(file: &str) -> String {
    let files = generate(SAMPLE).unwrap_or_else(|problem| panic!("{problem}"));
    files.into_iter().find_map(|(name, text)| (name == file).then_some(text)).unwrap_or_default()
}

#[test]
fn the_types_of_the_sample() {
    insta::assert_snapshot!(generated("wire.rs"));
}

#[test]
fn the_operations_of_the_sample() {
    insta::assert_snapshot!(generated("operations.rs"));
}

#[test]
fn the_contract_is_passed_on_as_it_is() {
    assert_eq!(generated("contract.json"), yaml_serde::from_str::<serde_json::Value>(SAMPLE).unwrap().to_string());
}

/// The sample with the first `before` replaced by `after` is refused at `path` for `reason`.
#[track_caller]
fn refused(before: &str, after: &str, path: &str, reason: &str) {
    assert!(SAMPLE.contains(before), "the sample has no {before}");
    match generate(&SAMPLE.replacen(before, after, 1)) {
        Ok(_) => panic!("{after} was not refused"),
        Err(problem) => {
            assert!(problem.starts_with(&format!("{path}: ")) && problem.contains(reason), "{problem}");
        }
    }
}

#[test]
fn what_openapi_has_and_the_contract_may_not_use_is_refused_where_it_stands() {
    let label = "components.schemas.Box.properties.Label";
    refused("pattern: '\\S',", "nullable: true,", &format!("{label}.nullable"), "unknown field `nullable`");
    refused("pattern: '\\S',", "readOnly: true,", &format!("{label}.readOnly"), "unknown field `readOnly`");
    refused("minLength: 1,", "enum: [x],", label, "not the first property");
    refused("minLength: 1,", "minimum: 1,", label, "minimum");
    refused("minLength: 1,", "multipleOf: 9,", &format!("{label}.multipleOf"), "unknown field `multipleOf`");
    refused("minLength: 1,", "minLength: -1,", &format!("{label}.minLength"), "invalid value");
    refused(
        "summary: Get a thing",
        "deprecated: true",
        "paths./Things/{thingId}.get.deprecated",
        "unknown field `deprecated`",
    );
    refused("    get:", "    put:", "paths./Things/{thingId}.put", "neither get nor post");
    refused(
        "application/json:",
        "text/plain:",
        "paths./Things/{thingId}/$/Change.post.requestBody.content.text/plain",
        "text/plain",
    );
    refused(
        "x-extension: true\n              schema: { oneOf: [{ $ref: '#/components/schemas/Thing' }",
        "x-extension: true\n              schema: { oneOf: [{ $ref: '#/components/schemas/Box' }",
        "paths./Things/{thingId}.get.responses.text/event-stream",
        "each event is one such answer",
    );
    refused("in: path", "in: cookie", "components.parameters.ThingId.in", "unknown variant `cookie`");
    refused("'3.1.0'", "'3.0.3'", "openapi", "unknown variant `3.0.3`");
}

#[test]
fn a_shape_without_a_type_in_rust_is_refused() {
    let count = "components.schemas.Ball.properties.Count";
    let last = "components.schemas.Ball.properties.Last";
    refused("Count: { type: string, format: int64", "Count: { type: string, format: byte", count, "\"byte\"");
    refused("Count: { type: string, format: int64", "Count: { type: object", count, "type object");
    refused("Count: { type: string, format: int64", "Count: { type: array", count, "type array");
    refused("{ type: 'null' }], description: The last", "{ type: string }], description: The last", last, "is none of");
    refused(
        "Rolls: { type: boolean",
        "Rolls: { type: number",
        "components.schemas.Ball.properties.Rolls",
        "type number",
    );
    refused(
        "format: int64, minimum: 1, max",
        "format: int32, max",
        "components.schemas.Box.properties.Sides",
        "\"int32\"",
    );
    refused("      enum: [RED, Green, LIGHT_BLUE]\n", "", "components.schemas.Colour", "is none of");
    refused("enum: [RED, Green", "enum: ['1st', Green", "components.schemas.Colour", "1st is no name");
    refused(
        "Owner: { type: [string, 'null'],",
        "Owner: { type: [string, 'null'], default: 1,",
        "components.schemas.Ball.properties.Owner",
        "more than one of",
    );
    refused(
        "schema: { type: string, format: uuid }, ex",
        "schema: { type: string, format: date-time }, ex",
        "paths./Things/{thingId}/$/Change.post",
        "a way of its own",
    );
    let since = "components.parameters.Since.schema";
    refused("format: date-time }", "default: '' }", since, "only an integer or a boolean");
}

#[test]
fn what_does_not_hang_together_is_refused() {
    let mapping = "components.schemas.Thing.discriminator.mapping";
    refused(
        "Ball: '#/components/schemas/Ball'",
        "Ball: '#/components/schemas/Box'",
        mapping,
        "the same schemas as oneOf",
    );
    refused("enum: [Ball]", "enum: [Bull]", &format!("{mapping}.Ball"), "start with a required Kind");
    refused(", { $ref: '#/components/schemas/Ball' }]", "]", mapping, "the same schemas as oneOf");
    refused("required: [Kind]", "required: []", &format!("{mapping}.Ball"), "required Kind");
    refused("required: [Kind]", "required: [Kind, Size]", "components.schemas.Ball.required", "Size is not one");
    refused(
        "#/components/schemas/Colour",
        "#/components/schemas/Color",
        "components.schemas.Box.properties.Colour",
        "Color",
    );
    let change = "paths./Things/{thingId}/$/Change.post";
    refused("parameters/Since'", "parameters/Until'", &format!("{change}.parameters[3]"), "Until is not one");
    refused("parameters/Since'", "parameters/ThingId'", change, "not the same");
    refused("/Things/{thingId}/$/Change:", "/Things/{id}:", "paths./Things/{id}.post", "are not the same");
    refused("'202'", "'204'", &format!("{change}.responses.204"), "unknown field `204`");
    refused("responses/Error'", "responses/Fault'", &format!("{change}.responses"), "Fault is not one");
    refused("'202': { description: Accepted. }\n        ", "", &format!("{change}.responses"), "exactly one success");
}

#[test]
fn what_all_operations_share_is_the_same_in_each_but_for_the_version() {
    let change = "paths./Things/{thingId}/$/Change.post";
    refused("enum: ['1.5'], default: '1.5'", "", change, "has no api-version whose one value is a number");
    refused("enum: ['1.5']", "enum: [new]", change, "has no api-version whose one value is a number");
    refused("enum: ['1.5']", "enum: [inf]", change, "has no api-version whose one value is a number");
    refused("- { $ref: '#/components/parameters/ApiVersion' }", "", change, "has no api-version");
    let key = "paths./Things/{thingId}/$/Change.post.parameters[4]";
    refused("{ type: string, pattern: '^a+$'", "{ type: string, enum: [a]", key, "has an enum");
    let get = "paths./Things/{thingId}.get";
    let other = "parameters/OldApiVersion' }, { $ref: '#/components/parameters/OtherSince' }]";
    let sample = SAMPLE.replacen("parameters/OldApiVersion' }]", other, 1);
    let since =
        "    OtherSince: { name: Since, in: query, required: false, description: x, schema: { type: string } }\n";
    let sample = sample.replacen("    RequestKey:", &format!("{since}    RequestKey:"), 1);
    let problem = generate(&sample).unwrap_err();
    assert_eq!(problem, format!("{get}: has another Since than the operations have in common"));
}

#[test]
fn a_header_that_is_no_plain_text_is_refused() {
    let header = "paths./Things/{thingId}/$/Change.post.Request-Key";
    refused("{ type: string, pattern: '^a+$'", "{ type: string, default: x", header, "has a default");
    refused("{ type: string, pattern: '^a+$'", "{ type: [string, 'null']", header, "more than one type");
}
