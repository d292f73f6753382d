use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A value that must never be shown: it prints as `****` in every format, and its memory is wiped when it is dropped.
///
/// `serde` carries the real value, for the ledger only; the wire types of the API mask it themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What is shown in the place of every secret.
    pub const MASK: &'static str = "****";

    /// Wraps a value that came from a request or from the configuration.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that hands it to the storage.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is only what was shown in the place of one.
    pub fn is_mask(&self) -> bool {
        self.0 == Self::MASK
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_prints_as_four_asterisks() {
        let secret = Secret::new("AccountKey=abc");
        assert_eq!(format!("{secret} {secret:?}"), "**** ****");
        assert_eq!(secret.expose(), "AccountKey=abc");
    }
}
