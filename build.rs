//! Generates the wire from `openapi/`.

fn main() {}
