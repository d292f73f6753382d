//! What is round the properties of a commit record: checksums, and the footer that says where they are.
//!
//! Knows no property. Nothing behind a checksum that is wrong is handed on.

use super::{Input, MetadataError};

pub(super) const FOOTER: usize = 20;
pub(super) const CRC: usize = 8;
pub(super) const CRC64: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_WE);
const FILE_VERSION: i32 = 1;

/// The properties, their CRC, the footer that says where they are, and the footer's CRC.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.len() as u64;
    bytes.extend(CRC64.checksum(&bytes).to_le_bytes());
    let footer = bytes.len();
    bytes.extend(0_i64.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(FILE_VERSION.to_le_bytes());
    bytes.extend(CRC64.checksum(&bytes[footer..]).to_le_bytes());
    bytes
}

/// The bytes of the properties, once both CRCs hold.
pub(super) fn unseal(bytes: &[u8]) -> Result<&[u8], MetadataError> {
    let damaged = MetadataError::Damaged;
    let (rest, footer_crc) = split_end(bytes, CRC).ok_or(damaged("it is too short"))?;
    let (body, footer) = split_end(rest, FOOTER).ok_or(damaged("it is too short"))?;
    if CRC64.checksum(footer).to_le_bytes() != footer_crc {
        return Err(damaged("the checksum of its footer is wrong"));
    }
    let mut input = Input::new(footer);
    let fields = (|| Ok((input.array()?, input.array()?, input.array()?)))();
    let (offset, len, version) = fields.map_err(|source| MetadataError::Property { property: "footer", source })?;
    match i32::from_le_bytes(version) {
        FILE_VERSION => {}
        version => {
            let known = FILE_VERSION.into();
            return Err(MetadataError::Newer { what: "metadata", known, version: version.into() });
        }
    }
    let outside = damaged("its footer points outside the file");
    let properties = part(body, u64::from_le_bytes(offset), u64::from_le_bytes(len)).ok_or(outside)?;
    let (properties, crc) = split_end(properties, CRC).ok_or(damaged("it is too short"))?;
    if CRC64.checksum(properties).to_le_bytes() != crc {
        return Err(damaged("the checksum of its properties is wrong"));
    }
    Ok(properties)
}

fn split_end(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    bytes.len().checked_sub(len).map(|at| bytes.split_at(at))
}

/// `len` bytes from `offset` and the CRC that follows them.
fn part(body: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let end = offset.checked_add(len)?.checked_add(CRC as u64)?;
    body.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
}
