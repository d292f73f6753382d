//! No bytes make the manifest's reader panic, and none make it use memory without bound. They arrive unpacked, so that the
//! fuzzer sees through to the entries.

#![no_main]

use fabric_backup::archive::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plain: &[u8]| {
    let packed = zstd::bulk::compress(plain, 1).expect("anything can be packed");
    let Ok(manifest) = Manifest::read(packed.into()) else { return };
    let Ok(items) = manifest.items() else { return };
    // It ends at its first error.
    for _ in items {}
});
