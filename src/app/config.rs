//! The configuration file: read strictly, checked whole, turned into [`Settings`].
//!
//! Whatever is wrong is named by its key, line and column before anything starts, since a node that starts with half
//! of what it was told would back up half of the partitions. Nothing is created or changed here.

mod check;
mod fault;
mod file;
mod places;
mod storage;
mod stores;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

use super::settings::Settings;
use fault::{Fault, Position};

/// What the command line says, which goes before what the file says.
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides {
    /// Where to listen.
    pub(super) listen: Option<SocketAddr>,
    /// The data directory, relative to the current directory.
    pub(super) data_dir: Option<PathBuf>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file can be read but not accepted.
    #[error("{}:{position}: {}{message}", path.display(), key.as_ref().map(|k| format!("{k}: ")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line and column.
        position: Position,
        /// The key, unless the file is no TOML before the first one.
        key: Option<String>,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads and checks the file at `path`.
pub(super) fn load(path: &Path, overrides: Overrides) -> Result<Settings, ConfigError> {
    let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let path = fs::canonicalize(path).map_err(unreadable)?;
    let base = path.parent().unwrap_or(Path::new("/"));
    read(&text, base, overrides).map_err(|fault| {
        let (key, position, message) = fault.locate(&text);
        ConfigError::Invalid { path, position, key, message }
    })
}

/// The JSON Schema of the file.
pub(super) fn schema() -> Schema {
    let without_null = RecursiveTransform(remove_null);
    SchemaSettings::draft2020_12().with_transform(without_null).into_generator().into_root_schema_for::<file::Root>()
}

/// TOML has no null: what may be missing is said by `required` alone.
fn remove_null(schema: &mut Schema) {
    let null = json!("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| *kind != null);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&null));
    }
}

fn read(text: &str, base: &Path, overrides: Overrides) -> Result<Settings, Fault> {
    check::settings(&toml::from_str(text)?, base, overrides)
}

#[cfg(test)]
mod config_tests;
