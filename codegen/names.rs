//! From names on the wire to names in Rust.

use proc_macro2::{Ident, Span};

use super::spec::Problem;

/// `LsnOfLastBackupRecord` and `api-version` as `lsn_of_last_backup_record` and `api_version`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.extend(if letter == '-' { '_' } else { letter }.to_lowercase());
    }
    snake
}

/// A value of an enum as a variant: `E_INVALIDARG` as `EInvalidarg`; what has a small letter stays.
pub(super) fn variant(value: &str) -> String {
    if value.chars().any(char::is_lowercase) {
        return value.to_owned();
    }
    value.split('_').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect()
}

/// The identifier `name`, unless Rust has no such identifier.
pub(super) fn ident(name: &str, at: &str) -> Result<Ident, Problem> {
    syn::parse_str::<Ident>(name)
        .map(|_| Ident::new(name, Span::call_site()))
        .map_err(|_| Problem::at(at, format!("{name} is no name that Rust allows")))
}
