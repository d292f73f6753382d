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

use spec::Problem;

/// The files to be included by `src/api/{wire,operations,docs}.rs`, from the text of a contract.
pub(crate) fn generate(yaml: &str) -> Result<[(&'static str, String); 3], Problem> {
    let (spec, written) = spec::read(yaml)?;
    let (wire, operations) = (formatted(schemas::all(&spec)?)?, formatted(operations::all(&spec)?)?);
    Ok([("wire.rs", wire), ("operations.rs", operations), ("contract.json", written.to_string())])
}

fn formatted(tokens: TokenStream) -> Result<String, Problem> {
    let file = syn::parse2(tokens).map_err(|error| format!("generated what is not Rust: {error}"))?;
    Ok(prettyplease::unparse(&file))
}
