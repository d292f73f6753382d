//! Generates the wire from `openapi/` (see `codegen/`).

#[path = "codegen/generator.rs"]
mod generator;

use std::{env, error::Error, fs, path::PathBuf};

const CONTRACT: &str = "openapi/backup-restore.yaml";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={CONTRACT}");
    println!("cargo::rerun-if-changed=codegen");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    match generator::generate(&fs::read_to_string(CONTRACT)?) {
        Ok(code) => {
            fs::write(out.join("wire.rs"), code.schemas)?;
            fs::write(out.join("operations.rs"), code.operations)?;
            fs::write(out.join("contract.json"), code.contract)?;
        }
        Err(problem) => println!("cargo::error={CONTRACT}: {problem}"),
    }
    Ok(())
}
