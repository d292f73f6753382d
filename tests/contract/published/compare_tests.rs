//! Shows that the comparison can fail: small documents, each with one thing changed, and the difference that is named.

use super::compare::{Deviation, differences, unexplained};
use super::facts::facts;
use serde_json::{Value, json};

const DOCUMENT: &str = "
paths:
  /things/{id}:
    post:
      operationId: PutThing
      summary: Put
      parameters:
        - { $ref: '#/components/parameters/Id' }
        - { $ref: '#/components/parameters/Wait' }
        - { $ref: '#/components/parameters/Hurry' }
      requestBody: { content: { application/json: { schema: { $ref: '#/components/schemas/Thing' } } } }
      responses:
        '202': { description: Accepted }
        default: { $ref: '#/components/responses/Bad' }
components:
  parameters:
    Id: { name: id, in: path, required: true, schema: { type: string, format: uuid } }
    Wait: { name: wait, in: query, required: false, schema: { type: integer, minimum: 1, default: 60 } }
    Hurry: { name: hurry, in: query, x-extension: true, schema: { type: boolean } }
  responses:
    Bad: { description: Bad, content: { application/json: { schema: { $ref: '#/components/schemas/Thing' } } } }
  schemas:
    Thing:
      type: object
      required: [Kind]
      properties:
        Kind: { type: string, enum: [Round] }
        Size: { type: integer, maximum: 255 }
        Made: { type: [string, 'null'], format: date-time }
        Parts: { type: array, items: { $ref: '#/components/schemas/Thing' } }
        Owner: { type: string, x-extension: true }
    Things:
      oneOf: [{ $ref: '#/components/schemas/Thing' }]
      discriminator: { propertyName: Kind, mapping: { Round: '#/components/schemas/Thing' } }
    Color: { type: string, enum: [Red, Blue, Mauve], x-extension: true, x-extension-values: [Mauve] }
    Smell: { type: string, enum: [Rose], x-extension: true }
";

const NONE: [&str; 0] = [];
const THING: &str = "/components/schemas/Thing";
const OPERATION: &str = "/paths/~1things~1{id}/post";

fn document() -> Value {
    yaml_serde::from_str(DOCUMENT).expect("the small document is YAML")
}

/// The document with the member at `pointer` replaced, added or, by null, taken away.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = document();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let name = &name.replace("~1", "/");
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).expect("the parent is an object");
    if value.is_null() {
        parent.remove(name)
    } else {
        parent.insert(name.to_owned(), value)
    };
    document
}

fn found(ours: &Value) -> Vec<String> {
    differences(&facts(&document()), &facts(ours)).iter().map(ToString::to_string).collect()
}

#[test]
fn facts_have_the_layout_of_the_published_table() {
    let expected = json!({
        "parameters": {
            "id": { "in": "path", "required": true, "type": "string", "format": "uuid" },
            "wait": { "in": "query", "type": "integer", "minimum": 1, "default": 60 },
        },
        "operations": { "PutThing": {
            "method": "post", "path": "/things/{id}", "parameters": ["id", "wait"], "body": { "ref": "Thing" },
            "answers": { "202": {}, "default": { "ref": "Thing" } },
        } },
        "schemas": { "Thing": {
            "Kind": { "type": "string", "enum": ["Round"], "required": true },
            "Size": { "type": "integer", "maximum": 255 },
            "Made": { "type": "string", "format": "date-time", "nullable": true },
            "Parts": { "type": "array", "items": { "ref": "Thing" } },
        } },
        "unions": { "Things": { "discriminator": "Kind", "variants": { "Round": "Thing" } } },
        "enums": { "Color": ["Red", "Blue"] },
    });
    assert_eq!(facts(&document()), expected);
}

#[test]
fn each_change_of_the_wire_is_named() {
    let changes = [
        (format!("{OPERATION}/operationId"), json!("PostThing"), "operations/PutThing/path"),
        (format!("{OPERATION}/deprecated"), json!(true), "operations/PutThing/deprecated"),
        (format!("{OPERATION}/parameters"), json!([]), "operations/PutThing/parameters"),
        (format!("{OPERATION}/requestBody"), json!(null), "operations/PutThing/body/ref"),
        (format!("{OPERATION}/requestBody/required"), json!(true), "operations/PutThing/body/required"),
        (format!("{OPERATION}/requestBody/content/text~1plain"), json!({}), "operations/PutThing/body/text~1plain"),
        (format!("{OPERATION}/responses/202"), json!(null), "operations/PutThing/answers/202"),
        (format!("{OPERATION}/responses/200"), json!({}), "operations/PutThing/answers/200"),
        (format!("{OPERATION}/x-extension"), json!(true), "operations/PutThing/method"),
        ("/paths/~1more".into(), json!({ "get": { "operationId": "More" } }), "operations/More/method"),
        ("/components/parameters/Wait/schema/minimum".into(), json!(2), "parameters/wait/minimum"),
        ("/components/parameters/Wait/schema/default".into(), json!(null), "parameters/wait/default"),
        ("/components/parameters/Wait/required".into(), json!(true), "parameters/wait/required"),
        ("/components/parameters/Hurry/x-extension".into(), json!(null), "parameters/hurry/type"),
        ("/components/parameters/Hurry".into(), json!({ "name": "id" }), "parameters/id (Hurry)"),
        (format!("{THING}/required"), json!(["Kind", "Size"]), "schemas/Thing/Size/required"),
        (format!("{THING}/required"), json!(["Kind", "Owner"]), "schemas/Thing/Owner/required"),
        (format!("{THING}/additionalProperties"), json!(false), "schemas/Thing/(additionalProperties)"),
        (format!("{THING}/properties/Size"), json!(null), "schemas/Thing/Size/type"),
        (format!("{THING}/properties/Size/maximum"), json!(256), "schemas/Thing/Size/maximum"),
        (format!("{THING}/properties/Size/pattern"), json!("x"), "schemas/Thing/Size/pattern"),
        (format!("{THING}/properties/Made/type"), json!("string"), "schemas/Thing/Made/nullable"),
        (format!("{THING}/properties/Made/format"), json!("date"), "schemas/Thing/Made/format"),
        (format!("{THING}/properties/Parts/items"), json!({ "type": "string" }), "schemas/Thing/Parts/items/ref"),
        (format!("{THING}/properties/Kind/enum"), json!(["Square"]), "schemas/Thing/Kind/enum"),
        (format!("{THING}/properties/Owner/x-extension"), json!(null), "schemas/Thing/Owner/type"),
        (format!("{THING}/properties/Size/x-extension"), json!(true), "schemas/Thing/Size/type"),
        ("/components/schemas/Things/oneOf".into(), json!([]), "unions/Things/oneOf"),
        ("/components/schemas/Things/discriminator/propertyName".into(), json!("Type"), "unions/Things/discriminator"),
        ("/components/schemas/Color/enum".into(), json!(["Blue", "Red"]), "enums/Color"),
        ("/components/schemas/Color/x-extension-values".into(), json!(["Red", "Mauve"]), "enums/Color"),
        ("/components/schemas/Smell/x-extension".into(), json!(null), "enums/Smell"),
    ];
    for (pointer, value, place) in changes {
        let found = found(&with(&pointer, value));
        let place = format!("{}: ", place.replace("~1", "/"));
        assert!(found.iter().any(|difference| difference.starts_with(&place)), "{pointer}: {found:?} lacks {place}");
    }
}

#[test]
fn words_and_what_is_marked_as_ours_are_no_difference() {
    let changes = [
        (format!("{OPERATION}/summary"), json!("Store")),
        (format!("{OPERATION}/tags"), json!(["Other"])),
        (format!("{THING}/description"), json!("A thing")),
        (format!("{THING}/properties/Owner"), json!(null)),
        ("/components/parameters/Id/example".into(), json!("1daae3f5-7fd6-42e9-b1ba-8c05f873994d")),
        ("/components/schemas/Smell/enum".into(), json!(["Rose", "Mint"])),
    ];
    for (pointer, value) in changes {
        assert_eq!(found(&with(&pointer, value)), NONE, "{pointer}");
    }
}

#[test]
fn a_deviation_explains_its_difference_and_no_other() {
    let found = differences(&json!({ "a": 1 }), &json!({ "a": 2, "b": 3 }));
    let listed =
        |deviations: Value| unexplained(&found, &serde_json::from_value::<Vec<Deviation>>(deviations).unwrap());
    let a = json!({ "why": "better", "at": ["a"], "published": 1, "ours": 2 });
    let b = json!({ "why": "needed", "at": ["b"], "ours": 3 });

    assert_eq!(listed(json!([a, b])), NONE);
    assert_eq!(listed(json!([a])), ["b: published nothing, ours 3"]);
    assert_eq!(
        listed(json!([a, { "why": "needed", "at": ["b"], "ours": 4 }])),
        ["b: published nothing, ours 3", "listed as a deviation, but is none: b: published nothing, ours 4"]
    );
    assert_eq!(
        listed(json!([a, b, { "why": " ", "at": ["c"], "ours": 3 }])),
        ["listed as a deviation, but is none: c: published nothing, ours 3", r#"listed without a reason: ["c"]"#]
    );
}

#[test]
fn one_deviation_can_explain_several_facts_in_several_places() {
    let found =
        differences(&json!({ "c": 0 }), &json!({ "a": { "min": 1, "max": 9 }, "b": { "min": 1, "max": 9 }, "c": 0 }));
    let deviation = json!([{ "why": "bounded", "at": ["a", "b"], "ours": { "min": 1, "max": 9 } }]);
    let deviations: Vec<Deviation> = serde_json::from_value(deviation).unwrap();
    assert_eq!(unexplained(&found, &deviations), NONE);
    assert_eq!(unexplained(&found[1..], &deviations).len(), 1);
}
