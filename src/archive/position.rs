//! A place in the order of a listing, for whoever asks for the next page.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

use super::names::Place;
use crate::domain::{Location, StoreId};

/// Where a page of a listing ended. It names the last backup of the page, so it stays good while backups come and go,
/// that one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub(super) place: Place,
    pub(super) time: DateTime<Utc>,
    pub(super) store: StoreId,
}

/// Why a text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the position of a backup in a list")]
pub struct PositionError;

impl Position {
    /// As a text without meaning for anybody else: letters, digits, `-` and `_`.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\n{}", self.place.location(self.time), self.store.0))
    }

    /// Reads such a text.
    pub fn decode(text: &str) -> Result<Self, PositionError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PositionError)?;
        let text = String::from_utf8(bytes).map_err(|_| PositionError)?;
        let (location, store) = text.split_once('\n').ok_or(PositionError)?;
        let (place, time) = Place::of(&Location(location.to_owned())).map_err(|_| PositionError)?;
        Ok(Self { place, time, store: StoreId(store.to_owned()) })
    }

    /// What lists are ordered by.
    pub(super) fn order(&self) -> (&Place, DateTime<Utc>, &StoreId) {
        (&self.place, self.time, &self.store)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::Position;
    use crate::{
        archive::testing::{noon, place},
        domain::StoreId,
    };

    #[test]
    fn a_position_is_read_back_from_its_text() {
        for store in ["directory:/srv/ü\n", ""] {
            let position = Position { place: place(), time: noon(), store: StoreId(store.to_owned()) };
            assert_eq!(Position::decode(&position.encode()).unwrap(), position);
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let location = place().location(noon());
        for bad in [String::new(), "%%%".to_owned(), encoded(&location.0), encoded("../x\ns"), "_w".to_owned()] {
            assert!(Position::decode(&bad).is_err(), "{bad}");
        }
    }
}
