//! Whatever names and contents a state has: it is refused, or another program's zip reader finds each of them in the directory of the zip
//! as it was. A line of the input is a file, `name=content`.

#![no_main]

use std::{
    io::{Cursor, Read},
    sync::Arc,
};

use fabric_backup::{
    archive::{BlockSize, Packer, Packing},
    domain::{Entry, EntryKind, TreePath},
};
use libfuzzer_sys::fuzz_target;
use zip::ZipArchive;

fuzz_target!(|input: &[u8]| {
    let files: Vec<_> = input.split(|byte| *byte == b'\n').filter_map(file).collect();
    let Some(bytes) = pack(&files) else { return };
    let mut zip = ZipArchive::new(Cursor::new(bytes)).expect("it is a zip");
    assert_eq!(zip.len(), files.len() + 1, "the files and the manifest");
    for (n, (entry, content)) in files.iter().enumerate() {
        let mut found = zip.by_index(n).expect("it is in the directory");
        assert_eq!(found.name_raw(), entry.path.as_str().as_bytes());
        let mut plain = Vec::new();
        found.read_to_end(&mut plain).expect("it can be unpacked, and its checksum is right");
        assert_eq!(plain, *content);
    }
});

fn file(line: &[u8]) -> Option<(Entry, &[u8])> {
    let (name, content) = line.split_at(line.iter().position(|byte| *byte == b'=')?);
    let path = TreePath::parse(str::from_utf8(name).ok()?).ok()?;
    let kind = EntryKind::File { len: content.len() as u64 };
    Some((Entry { path, kind, mode: 0o600, mtime_s: content.len() as i64, mtime_ns: 0 }, content))
}

fn pack(files: &[(Entry, &[u8])]) -> Option<Vec<u8>> {
    let packing = Packing::full(BlockSize::for_state(0));
    let mut packer = Packer::start(Vec::new(), &packing, Arc::default()).expect("there is memory");
    files.iter().try_for_each(|(entry, content)| packer.entry(entry, &mut &**content)).ok()?;
    packer.finish().ok().map(|(_, bytes)| bytes)
}
