//! Turns the contract into Rust: `schemas` makes the types, `operations` the trait, handlers, routes and document.
//!
//! What programs depend on (names, types, formats, bounds, defaults, statuses) reaches the served document through the
//! types, by attributes of utoipa; what only people read is put there by `src/api/docs.rs`, from the contract. What the
//! generator cannot express is an error that names its place, never a guess.

mod fields;
mod operations;
mod schemas;
mod spec;

use proc_macro2::TokenStream;

pub(crate) use spec::Problem;

/// Formatted Rust, to be included by `src/api/wire.rs` and `src/api/operations.rs`, and the contract as JSON.
pub(crate) struct Generated {
    pub(crate) schemas: String,
    pub(crate) operations: String,
    pub(crate) contract: String,
}

/// Generates everything from the text of a contract.
pub(crate) fn generate(yaml: &str) -> Result<Generated, Problem> {
    let (spec, written) = spec::read(yaml)?;
    let (schemas, operations) = (formatted(schemas::all(&spec)?)?, formatted(operations::all(&spec)?)?);
    Ok(Generated { schemas, operations, contract: written.to_string() })
}

fn formatted(tokens: TokenStream) -> Result<String, Problem> {
    let file = syn::parse2(tokens).map_err(|error| format!("generated what is not Rust: {error}"))?;
    Ok(prettyplease::unparse(&file))
}
