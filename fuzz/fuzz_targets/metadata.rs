//! No bytes make the commit record's reader panic, and what it takes it writes again as something it takes. The bytes are the
//! properties; the trailer with the right checksums is put behind them, or the fuzzer would never get past those.

#![no_main]

use crc::{CRC_64_WE, Crc};
use fabric_backup::archive::{decode, encode};
use libfuzzer_sys::fuzz_target;

const CHECKSUM: Crc<u64> = Crc::<u64>::new(&CRC_64_WE);

fuzz_target!(|properties: &[u8]| {
    drop(decode(properties));
    let Ok(metadata) = decode(&record(properties)) else { return };
    let again = decode(&encode(&metadata)).expect("what was written can be read");
    assert_eq!(again, metadata);
});

/// See docs/FORMAT.md.
fn record(properties: &[u8]) -> Vec<u8> {
    let mut trailer = 0_i64.to_le_bytes().to_vec();
    trailer.extend((properties.len() as i64).to_le_bytes());
    trailer.extend(1_i32.to_le_bytes());
    let sums = [properties, &trailer].map(|part| CHECKSUM.checksum(part).to_le_bytes());
    [properties, &sums[0], &trailer, &sums[1]].concat()
}
