//! What a part of a key is called on the share, and back.
//!
//! Windows cannot hold every name: what it forbids, and `%` itself, is written as `%` and two hexadecimal digits. All
//! other names stay as they are, so that a share looks the same through SMB as through a mount.

use crate::storage::key::checked;

/// Names that Windows keeps for devices, whatever follows a dot in them.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A path of the server's, with backslashes, of a key below `folder`.
pub(super) fn path_of(folder: &str, key: &str) -> String {
    let parts = key.split('/').filter(|part| !part.is_empty()).map(name_of);
    Some(folder.to_owned()).into_iter().filter(|folder| !folder.is_empty()).chain(parts).collect::<Vec<_>>().join("\\")
}

/// The part of a key that a name stands for; nothing if the name is no part of any key.
pub(super) fn part_of(name: &str) -> Option<String> {
    let part = unescaped(name)?;
    (name_of(&part) == name && !part.contains('/') && checked(&part).is_ok()).then_some(part)
}

/// What a part of a key is called. Windows drops dots at the end too, but no part of a key has one there.
pub(super) fn name_of(part: &str) -> String {
    let last = part.chars().count().saturating_sub(1);
    let is_device = names_a_device(part);
    let mut name = String::with_capacity(part.len());
    for (index, c) in part.chars().enumerate() {
        if is_forbidden(c) || (index == last && c == ' ') || (index == 0 && is_device) {
            escape(c, &mut name);
        } else {
            name.push(c);
        }
    }
    name
}

fn is_forbidden(c: char) -> bool {
    matches!(c, '%' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

fn escape(c: char, name: &mut String) {
    let hexadecimal = |digit: u32| char::from_digit(digit, 16).unwrap_or_default().to_ascii_uppercase();
    name.extend(['%', hexadecimal(u32::from(c) / 16), hexadecimal(u32::from(c) % 16)]);
}

fn names_a_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    DEVICES.contains(&stem.as_str()) || is_numbered_device(&stem)
}

/// `COM1` and the like; Windows takes the superscript digits for the digits.
fn is_numbered_device(stem: &str) -> bool {
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut digits = number.unwrap_or_default().chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// Nothing if a `%` is not followed by the two digits of a character.
fn unescaped(name: &str) -> Option<String> {
    let mut pieces = name.split('%');
    let mut part = pieces.next()?.to_owned();
    for piece in pieces {
        let code = piece.get(..2)?;
        part.push(char::from(u8::from_str_radix(code, 16).ok()?));
        part.push_str(&piece[2..]);
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{name_of, part_of, path_of};
    use crate::storage::key::checked;

    #[test]
    fn usual_names_stay_as_they_are() {
        for name in [
            "2018-01-01 09.00.55.zip",
            "App$Inner",
            "Приложение",
            " first",
            "a b",
            ".hidden",
            "~tilde",
            "COM",
            "CONSOLE",
            "COM12",
            "nul1",
        ] {
            assert_eq!(name_of(name), name);
            assert_eq!(part_of(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_windows_forbids_is_escaped() {
        let table = [
            ("a:b", "a%3Ab"),
            ("\"<>|?*", "%22%3C%3E%7C%3F%2A"),
            ("50%", "50%25"),
            ("%41", "%2541"),
            ("blank ", "blank%20"),
            (" ", "%20"),
            ("CON", "%43ON"),
            ("con.txt", "%63on.txt"),
            ("nul .x", "%6Eul .x"),
            ("Lpt9.tar.gz", "%4Cpt9.tar.gz"),
            ("com¹", "%63om¹"),
            ("conin$", "%63onin$"),
        ];
        for (part, name) in table {
            assert_eq!(name_of(part), name);
            assert_eq!(part_of(name).as_deref(), Some(part));
        }
    }

    #[test]
    fn a_name_that_we_would_not_give_is_not_ours() {
        for name in [
            "%41",
            "50%",
            "%zz",
            "%2",
            "a%3ab",
            "CON",
            "x ",
            "x.",
            "%2F",
            "a%5Cb",
            ".fabric-backup-unfinished-1",
            "%+1",
        ] {
            assert_eq!(part_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_key_becomes_a_path_below_the_folder() {
        assert_eq!(path_of("", "a/b:c"), "a\\b%3Ac");
        assert_eq!(path_of("team\\x", "a/b"), "team\\x\\a\\b");
        assert_eq!(path_of("team", ""), "team");
        assert_eq!(path_of("", ""), "");
    }

    proptest! {
        #[test]
        fn every_part_of_a_key_comes_back(part in "[^/\\\\\\pC]{1,40}") {
            prop_assume!(checked(&part).is_ok());
            prop_assert_eq!(part_of(&name_of(&part)), Some(part));
        }
    }
}
