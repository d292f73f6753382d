#[test]
fn dump() {
    std::fs::write("/tmp/gen-doc.json", fabric_backup::api::document().to_string()).unwrap();
}
