//! The key that seals a ledger, and the file that it lies in.
//!
//! A key is made once and never changed here. It must never be made for a ledger that is sealed already, and never be
//! printed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

const LENGTH: usize = 32;
/// First byte of what is sealed in this way. No JSON text begins with it.
const FORMAT: u8 = 1;
/// Mode bits that let others than its owner at a file.
const OTHERS: u32 = 0o077;
/// No key file is longer, by far.
const LONGEST_FILE: u64 = 1024;

/// Where the key of a ledger lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// In a file of our own, which is made for a ledger that is not sealed yet.
    Own(PathBuf),
    /// In a file that somebody else made.
    Given(PathBuf),
}

/// 32 random bytes, wiped from memory when they are dropped.
pub struct SealKey(Zeroizing<[u8; LENGTH]>);

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("it does not exist; {WAY_OUT}")]
    Missing,
    /// It is the key of another ledger.
    #[error("the ledger was sealed with another key; {WAY_OUT}")]
    Foreign,
    /// It holds something else.
    #[error("it does not hold 32 bytes as one line of base64; {WAY_OUT}")]
    Damaged,
    /// A secret that is none.
    #[error("its mode is {mode:04o}, so others can read or change it; make it its owner's alone with chmod 600")]
    Exposed {
        /// The permissions.
        mode: u32,
    },
    /// It cannot be read or made.
    #[error("it cannot be {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

const WAY_OUT: &str = "restore the key file from a copy, or move the ledger away to begin anew: policies, enablement \
                       and the progress of jobs are then lost, backups are not";

impl KeyFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Given(path) => path,
        }
    }

    /// The key; a new one if there is none and nothing is `sealed` with it yet.
    pub(super) fn take(&self, sealed: bool) -> Result<SealKey, KeyError> {
        match (SealKey::read(self.path()), self) {
            (Err(KeyError::Missing), Self::Own(path)) if !sealed => SealKey::make(path),
            (read, _) => read,
        }
    }
}

impl SealKey {
    /// Reads the file `path`, which nobody but its owner may be able to read or change.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing),
            opened => opened.map_err(failed("read"))?,
        };
        let mode = file.metadata().map_err(failed("read"))?.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(KeyError::Exposed { mode });
        }
        let mut text = Zeroizing::new(Vec::new());
        (&mut file).take(LONGEST_FILE).read_to_end(&mut text).map_err(failed("read"))?;
        Self::parse(&text).ok_or(KeyError::Damaged)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text.trim_ascii()).ok()?);
        Some(Self(Zeroizing::new(<[u8; LENGTH]>::try_from(bytes.as_slice()).ok()?)))
    }

    /// Makes a key and its file, which is on the disk when this returns. It appears whole or not at all; whoever calls this
    /// holds the lock of the ledger.
    fn make(path: &Path) -> Result<Self, KeyError> {
        let key = Self::random().map_err(|_| failed("made")(io::Error::other("there are no random numbers")))?;
        let text = Zeroizing::new(BASE64_STANDARD.encode(key.0.as_slice()));
        write_new(path, &text).map_err(failed("made"))?;
        Ok(key)
    }

    /// A new key. Not from `clock`: numbers that a test can foretell must never seal anything.
    fn random() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        rand::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// A key of its own for each record, since one key may seal 2^32 values with random nonces and not more.
    fn of(&self, record: &str) -> Result<RandomizedNonceKey, Unspecified> {
        let key = Zeroizing::new(*blake3::keyed_hash(&self.0, record.as_bytes()).as_bytes());
        RandomizedNonceKey::new(&AES_256_GCM, key.as_slice())
    }

    /// Format, nonce, ciphertext, tag. The nonce is drawn by the library, never from `clock`.
    pub(super) fn seal(&self, record: &str, value: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = value.to_vec();
        let nonce = self.of(record)?.seal_in_place_append_tag(Aad::from(record), &mut sealed)?;
        Ok([&[FORMAT], nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// What was sealed, if it was sealed so, with this key and for this record.
    pub(super) fn unseal(&self, record: &str, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or(Unspecified)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
        let mut value = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.of(record)?.open_in_place(nonce, Aad::from(record), &mut value)?.len();
        value.truncate(length);
        Ok(value)
    }
}

/// Whether a value was sealed, in whatever way.
pub(super) fn is_sealed(value: &[u8]) -> bool {
    value.first() == Some(&FORMAT)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("key.unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { operation, source }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
