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
        Ok(files) => files.iter().try_for_each(|(name, text)| fs::write(out.join(name), text))?,
        Err(problem) => println!("cargo::error={CONTRACT}: {problem}"),
    }
    Ok(())
}
