//! Turns the contract into Rust: `schemas` makes the types, `operations` the trait, handlers, routes and document.
//!
//! Everything that the contract says reaches the served document: by an attribute of utoipa where it has one, else as
//! an amendment (`amendments`). What the generator cannot express is an error that names its place, never a guess.

mod amendments;
mod calls;
mod fields;
mod names;
mod operations;
mod schemas;
mod shape;
mod spec;

use proc_macro2::TokenStream;

pub(crate) use spec::Problem;

/// Formatted Rust, to be included by `src/api/wire.rs` and `src/api/operations.rs`.
pub(crate) struct Generated {
    pub(crate) schemas: String,
    pub(crate) operations: String,
}

/// Generates everything from the text of a contract.
pub(crate) fn generate(yaml: &str) -> Result<Generated, Problem> {
    let spec = spec::read(yaml)?;
    Ok(Generated { schemas: formatted(schemas::all(&spec)?)?, operations: formatted(operations::all(&spec)?)? })
}

fn formatted(tokens: TokenStream) -> Result<String, Problem> {
    let file = syn::parse2(tokens).map_err(|error| Problem::at("", format!("generated what is not Rust: {error}")))?;
    Ok(prettyplease::unparse(&file))
}
