//! The smallest pieces of our binary encodings: 7-bit varints, zigzag numbers, length-checked byte strings.
//!
//! Owns nothing but their reading and writing. Reading never allocates more than its caller's limit and never panics.

use std::io::Read;

/// Why bytes could not be read as what they should be.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The bytes end where more must follow.
    #[error("it ends too early")]
    Short,
    /// A number does not fit its field.
    #[error("a number is larger than {limit}")]
    TooLarge {
        /// The largest it may be.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// The compressed stream under the bytes is broken.
    #[error("its compressed data is broken")]
    Stream(#[source] std::io::Error),
}

/// Appends `value` as a varint: 7 bits a byte, lowest first, the top bit set on all but the last.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends a signed number: zigzag, then varint.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, value.cast_unsigned() << 1 ^ (value >> 63).cast_unsigned());
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads encoded values one after another.
pub(super) struct Input<R>(R);

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        Self(inner)
    }

    /// Whether nothing follows. Only for use between values: a byte that follows is lost.
    pub(super) fn is_at_end(&mut self) -> Result<bool, WireError> {
        match self.byte() {
            Ok(_) => Ok(false),
            Err(WireError::Short) => Ok(true),
            Err(other) => Err(other),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// A varint of at most `limit`.
    pub(super) fn varint(&mut self, limit: u64) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(WireError::TooLarge { limit });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if value <= limit { Ok(value) } else { Err(WireError::TooLarge { limit }) };
            }
        }
        Err(WireError::TooLarge { limit })
    }

    /// A varint that fits 32 bits and is at most `limit`.
    pub(super) fn varint32(&mut self, limit: u32) -> Result<u32, WireError> {
        let value = self.varint(u64::from(limit))?;
        u32::try_from(value).map_err(|_| WireError::TooLarge { limit: u64::from(limit) })
    }

    pub(super) fn signed(&mut self) -> Result<i64, WireError> {
        let value = self.varint(u64::MAX)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A length of at most `limit` and that many bytes.
    pub(super) fn bytes(&mut self, limit: u32) -> Result<Vec<u8>, WireError> {
        let len = self.varint32(limit)?;
        let mut bytes = Vec::new();
        let read = (&mut self.0).take(u64::from(len)).read_to_end(&mut bytes).map_err(failed)?;
        if read < len as usize { Err(WireError::Short) } else { Ok(bytes) }
    }

    pub(super) fn text(&mut self, limit: u32) -> Result<String, WireError> {
        String::from_utf8(self.bytes(limit)?).map_err(|_| WireError::NotText)
    }
}

fn failed(error: std::io::Error) -> WireError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => WireError::Short,
        _ => WireError::Stream(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, WireError, put_signed, put_varint};

    #[test]
    fn numbers_come_back_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Input::new(out.as_slice()).varint(u64::MAX).unwrap(), value);
        }
        for value in [0, -1, 1, 63, -64, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(Input::new(out.as_slice()).signed().unwrap(), value);
        }
        assert_eq!(Input::new([0xac, 0x02].as_slice()).varint(300).unwrap(), 300);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let too_long = [0xff_u8; 11];
        assert!(matches!(Input::new(too_long.as_slice()).varint(u64::MAX), Err(WireError::TooLarge { .. })));
        let bit_65 = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        assert!(matches!(Input::new(bit_65.as_slice()).varint(u64::MAX), Err(WireError::TooLarge { .. })));
        assert!(matches!(Input::new([5].as_slice()).varint(4), Err(WireError::TooLarge { limit: 4 })));
        assert!(matches!(Input::new([0x80].as_slice()).varint(4), Err(WireError::Short)));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing_and_is_an_error() {
        let lies = [0xff, 0xff, 0xff, 0xff, 0x07, b'x'];
        assert!(matches!(Input::new(lies.as_slice()).bytes(u32::MAX), Err(WireError::Short)));
    }
}
