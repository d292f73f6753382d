//! What the archive does with bytes, without any disk: packing (hash, compress, assemble), the manifest, and the plan of a
//! restore. `cargo bench --bench archive`; criterion compares with the run before.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::{hint::black_box, io, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fabric_backup::{
    archive::{BlockHash, BlockSize, Frame, Item, Manifest, ManifestWriter, Packer, Packing, Planner, Step, Stored},
    domain::{Entry, EntryKind, TreePath},
    job::Meter,
    spool::{Spooled, Spools},
};

const MIB: usize = 1 << 20;
const BLOCK: u32 = 64 << 10;
const FILES: u64 = 1000;
const BLOCKS: u64 = 100;

fn file(number: u64, len: u64) -> Entry {
    let path = TreePath::parse(&format!("{number:06}.sst")).unwrap();
    Entry { path, kind: EntryKind::File { len }, mode: 0o640, mtime_s: 1_700_000_000, mtime_ns: 5 }
}

/// Bytes that do not compress, the same in each run.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Records of a few fields, of which zstd leaves about a third.
fn records(len: usize) -> Vec<u8> {
    let noise = noise(len / 4);
    let record = |(number, noise): (usize, &[u8])| format!("key-{number:08} {:02x?}\n", &noise[..6]).into_bytes();
    noise.chunks_exact(8).enumerate().flat_map(record).take(len).collect()
}

fn pack(content: &[u8]) {
    let packing = Packing::full(BlockSize::for_state(content.len() as u64));
    let mut packer = Packer::start(io::sink(), &packing, Arc::new(Meter::default())).unwrap();
    packer.entry(&file(0, content.len() as u64), &mut &*content).unwrap();
    black_box(packer.finish().unwrap().0);
}

fn packing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash and compress");
    group.sample_size(20).throughput(Throughput::Bytes(64 * MIB as u64));
    for (name, content) in [("records", records(64 * MIB)), ("noise", noise(64 * MIB)), ("zeros", vec![0; 64 * MIB])] {
        assert_eq!(content.len(), 64 * MIB);
        group.bench_function(name, |bencher| bencher.iter(|| pack(&content)));
    }
}

/// Of a state of 1,000 files with 100 blocks each, in frames of 16 blocks.
fn manifest(hashes: &[u8]) -> Spooled {
    let mut manifest = ManifestWriter::new(BlockSize::for_state(0), &[], &Spools::in_memory()).unwrap();
    for number in 0..FILES {
        manifest.entry(&file(number, BLOCKS * u64::from(BLOCK)), number + 1).unwrap();
        for block in number * BLOCKS..(number + 1) * BLOCKS {
            manifest.block(&stored(block, hashes), BLOCK).unwrap();
        }
    }
    manifest.finish().unwrap()
}

fn stored(block: u64, hashes: &[u8]) -> Stored {
    let hash = BlockHash(hashes[usize::try_from(block).unwrap()..][..32].try_into().unwrap());
    let frame = Frame { member: 0, offset: block / 16 * 400_000, len: 390_000 };
    Stored { hash, frame, place: u32::try_from(block % 16).unwrap() * BLOCK }
}

fn items(manifest: &Manifest) -> impl Iterator<Item = Item> {
    manifest.items().unwrap().map(Result::unwrap)
}

fn manifests(criterion: &mut Criterion) {
    let hashes = noise(MIB);
    let encoded = manifest(&hashes);
    let read = || Manifest::read(encoded.clone()).unwrap();
    assert_eq!(items(&read()).count() as u64, FILES * (BLOCKS + 1));
    let mut group = criterion.benchmark_group("manifest of 100,000 blocks");
    group.sample_size(20).throughput(Throughput::Elements(FILES * BLOCKS));
    group.bench_function("encode", |bencher| bencher.iter(|| manifest(&hashes)));
    group.bench_function("decode", |bencher| bencher.iter(|| items(&read()).count()));
    group.bench_function("plan a restore", |bencher| bencher.iter(|| plan(&read())));
}

/// A block to be fetched.
struct Wanted(Stored, u64);

impl Step for Wanted {
    fn frame(&self) -> Frame {
        self.0.frame
    }

    fn plain(&self) -> u64 {
        self.1
    }

    fn folder(&self) -> u64 {
        0
    }
}

/// How many windows are fetched to restore it.
fn plan(manifest: &Manifest) -> usize {
    let (mut planner, mut windows) = (Planner::new(), 0);
    for item in items(manifest) {
        if let Item::Block { len, stored, .. } = item {
            planner.add(Wanted(stored, len.into()));
        }
        windows += std::iter::from_fn(|| planner.take()).count();
    }
    planner.end();
    windows + std::iter::from_fn(|| planner.take()).count()
}

criterion_group!(archive, packing, manifests);
criterion_main!(archive);
