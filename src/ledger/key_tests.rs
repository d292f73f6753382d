use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{KeyError, KeyFile, SealKey, is_sealed};
use crate::domain::words;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("ledger.key")
    }

    fn own(&self) -> KeyFile {
        KeyFile::Own(self.file())
    }
}

fn write(path: &Path, text: &[u8], mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_is_made_once_as_one_line_for_its_owner_alone() {
    let place = Place::new();
    place.own().take(false).unwrap();
    let text = fs::read_to_string(place.file()).unwrap();
    assert_eq!(BASE64_STANDARD.decode(text.strip_suffix('\n').unwrap()).unwrap().len(), 32);
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o7777, 0o600);
    place.own().take(false).unwrap();
    assert_eq!(fs::read_to_string(place.file()).unwrap(), text);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1);
}

#[test]
fn a_key_whose_making_was_cut_short_is_made_up_for() {
    let place = Place::new();
    write(&place.file().with_extension("key.unfinished"), b"half", 0o600);
    place.own().take(false).unwrap();
    SealKey::read(&place.file()).unwrap();
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1);
}

#[test]
fn no_key_is_made_for_what_is_sealed_already_or_in_the_place_of_a_given_one() {
    let place = Place::new();
    assert!(matches!(place.own().take(true), Err(KeyError::Missing)));
    assert!(matches!(KeyFile::Given(place.file()).take(false), Err(KeyError::Missing)));
    assert!(!place.file().exists());
}

#[test]
fn a_key_that_others_can_read_or_change_is_refused() {
    let place = Place::new();
    for mode in [0o640, 0o604, 0o620, 0o601] {
        write(&place.file(), BASE64_STANDARD.encode([7; 32]).as_bytes(), mode);
        let Err(error) = SealKey::read(&place.file()) else { panic!("mode {mode:o} was taken") };
        let text = words(&error);
        assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
    }
    write(&place.file(), BASE64_STANDARD.encode([7; 32]).as_bytes(), 0o400);
    assert!(SealKey::read(&place.file()).is_ok());
}

#[test]
fn a_file_that_holds_no_key_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let (short, long) = (BASE64_STANDARD.encode([7; 31]), BASE64_STANDARD.encode([7; 33]));
    for bad in ["", "\n", "secret", &short, &long, &"A".repeat(5000)] {
        write(&place.file(), bad.as_bytes(), 0o600);
        let refused = place.own().take(false);
        assert!(matches!(&refused, Err(KeyError::Damaged)), "{bad:?}");
        assert!(!words(&refused.err().unwrap()).contains("secret"));
        assert_eq!(fs::read(place.file()).unwrap(), bad.as_bytes());
    }
}

#[test]
fn what_is_sealed_twice_differs_and_opens_with_its_key_and_under_its_name_only() {
    let (key, other) = (SealKey::random().unwrap(), SealKey::random().unwrap());
    let (one, two) = (key.seal("a", b"value").unwrap(), key.seal("a", b"value").unwrap());
    assert!(is_sealed(&one) && one != two && one.len() == b"value".len() + 29);
    assert_eq!(key.unseal("a", &one).unwrap(), b"value");
    assert_eq!(key.unseal("a", &two).unwrap(), b"value");
    assert!(key.unseal("b", &one).is_err());
    assert!(other.unseal("a", &one).is_err());
}

#[test]
fn any_bit_that_is_not_as_it_was_sealed_is_noticed() {
    let key = SealKey::random().unwrap();
    let sealed = key.seal("a", b"{}").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(key.unseal("a", &bad).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(key.unseal("a", &sealed[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(key.unseal("a", &key.seal("a", b"").unwrap()).unwrap(), b"");
}
