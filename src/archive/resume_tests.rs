//! Packing that is cut off at any of its marks and goes on, over and over, while the state changes.

use std::io::{Cursor, Read, Write};

use bytes::Bytes;

use super::*;
use crate::archive::{Grown, Keys, Left, Mark, Out, Packed, encode, write};

/// A zip in memory that is marked as often as can be.
#[derive(Default)]
struct Marked {
    bytes: Vec<u8>,
    manifest: Vec<u8>,
    central: Vec<u8>,
    /// With the lengths of manifest and directory there.
    marks: Vec<(Mark, usize, usize)>,
    rarely: bool,
}

impl Write for Marked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out for Marked {
    fn distance(&self) -> Option<u64> {
        (!self.rarely).then_some(1)
    }

    fn mark(&mut self, grown: Grown) -> io::Result<()> {
        grown.manifest.reader().read_to_end(&mut self.manifest)?;
        grown.central.reader().read_to_end(&mut self.central)?;
        self.marks.push((grown.mark, self.manifest.len(), self.central.len()));
        Ok(())
    }
}

impl Marked {
    /// What is left of it after a crash behind a mark.
    fn cut(&self, at: usize) -> Option<Left> {
        let (mark, manifest, central) = self.marks.get(at)?;
        let central = self.central[..*central].to_vec().into();
        let size = BlockSize::for_state(0);
        // What was written to a journal behind the mark is there too.
        let rest = self.manifest.len().min(manifest + 100);
        Some(Left::new(*mark, &self.manifest[..rest].to_vec().into(), central, size, &Spools::in_memory()).unwrap())
    }
}

/// The bytes of a file, counted.
struct Counted<'a>(&'a [u8], &'a mut u64);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        *self.1 += count as u64;
        Ok(count)
    }
}

/// Packs a state as the engine does, behind what is left of an earlier attempt. Answers how many bytes were read.
fn pack(state: &State, packing: &Packing, out: Marked) -> (Packed, Marked, u64) {
    let mut read = 0;
    let mut packer = Packer::start(out, packing, Arc::default()).unwrap();
    for (entry, content, stamp) in tree(state) {
        if packer.kept(&entry, stamp).unwrap() {
            continue;
        }
        let begun = packer.begun(&entry, stamp).unwrap();
        let from = usize::try_from(begun.unwrap_or(0)).unwrap();
        let mut content = Counted(&content[from..], &mut read);
        match begun {
            None => packer.stamped(&entry, stamp, &mut content).unwrap(),
            Some(begun) => packer.rest(&entry, stamp, begun, &mut content).unwrap(),
        }
    }
    let (done, out) = packer.finish().unwrap();
    (done, out, read)
}

/// Goes on behind `left`; the answer has the zip from its start.
fn go_on(state: &State, packing: &Packing, left: Left, zip: &[u8], rarely: bool) -> (Packed, Marked, u64) {
    let bytes = zip[..usize::try_from(left.mark.offset).unwrap()].to_vec();
    let packing = Packing { left: Some(left), ..packing.clone() };
    pack(state, &packing, Marked { bytes, rarely, ..Marked::default() })
}

async fn put(storage: &Storage, draft: Draft, packed: &Packed, zip: &[u8]) -> Metadata {
    let keys = Keys::of(&draft.point.location).unwrap();
    let mut writer = storage.create(&keys.zip).await.unwrap();
    writer.write(Bytes::copy_from_slice(zip)).await.unwrap();
    writer.finish().await.unwrap();
    let content = write::content(draft.source_kind, draft.policy, packed);
    let metadata = Metadata { point: draft.point, content: Some(content) };
    storage.put_new(&keys.metadata, encode(&metadata).into()).await.unwrap();
    metadata
}

/// What a zip tool finds.
fn unzipped(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut found = BTreeMap::new();
    for n in 0..zip.len() {
        let mut entry = zip.by_index(n).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = entry.name().unwrap().into_owned();
        assert!(found.insert(name, content).is_none(), "twice");
    }
    found
}

fn is_file(name: &str) -> bool {
    !name.ends_with('/') && !name.starts_with(".fabric-backup")
}

fn steps() -> impl Strategy<Value = Vec<(Vec<Change>, prop::sample::Index)>> {
    prop::collection::vec((prop::collection::vec(changes(), 0..3), any::<prop::sample::Index>()), 1..4)
}

fn sample_of_frames() -> State {
    state(&[("a", noise(100)), ("big/file", noise((9 << 20) + 5)), ("c", noise(3 << 20)), ("d/e", vec![0; 5 << 20])])
}

#[test]
fn what_is_cut_anywhere_and_goes_on_over_an_unchanged_state_is_the_same_to_the_byte() {
    let (state, packing) = (sample_of_frames(), Packing::full(BlockSize::for_state(0)));
    let (packed, whole, all) = pack(&state, &packing, Marked { rarely: true, ..Marked::default() });
    let (_, marked, _) = pack(&state, &packing, Marked::default());
    assert!(marked.marks.len() > 15, "{}", marked.marks.len());
    for at in 0..marked.marks.len() {
        let (left, mark) = (marked.cut(at).unwrap(), &marked.marks[at].0);
        let (again, resumed, read) = go_on(&state, &packing, left, &marked.bytes, true);
        // A run of holes that was cut is two.
        if at + 4 < marked.marks.len() {
            assert_eq!((again, resumed.bytes == whole.bytes), (packed.clone(), true), "mark {at}");
        }
        assert!(read < all - mark.offset.saturating_sub(2 << 20), "mark {at}: {read} bytes were read again");
    }
}

#[test]
fn what_another_backup_before_or_another_size_of_blocks_left_does_not_fit() {
    let packing = Packing::full(BlockSize::for_state(0));
    let left = pack(&sample_of_frames(), &packing, Marked::default()).1.cut(3).unwrap();
    assert!(packing.fits(&left));
    assert!(!Packing::full(BlockSize::for_state(4 << 40)).fits(&left));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_backup_that_was_cut_and_gone_on_with_gives_the_last_state_back(
        first in prop::collection::vec(changes(), 0..6),
        second in prop::collection::vec(changes(), 0..12),
        steps in steps(),
        is_incremental in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut chain, mut state, mut stamp) = (Chain::new(Storage::memory()), State::new(), 0);
            let mut change = |state: &mut State, changes: &[Change]| {
                for change in changes {
                    stamp += 1;
                    apply(state, change, stamp);
                }
            };
            change(&mut state, &first);
            if is_incremental {
                chain.add(&state).await;
            }
            change(&mut state, &second);
            let draft = chain.draft().await;
            let (mut packed, mut out, _) = pack(&state, &draft.packing, Marked::default());
            for (changes, at) in steps {
                change(&mut state, &changes);
                let (left, zip) = (out.cut(at.index(out.marks.len().max(1))), out.bytes);
                (packed, out, _) = match left {
                    Some(left) => go_on(&state, &draft.packing, left, &zip, false),
                    None => pack(&state, &draft.packing, Marked::default()),
                };
            }
            assert_eq!(packed.zip_len, out.bytes.len() as u64);
            if !is_incremental {
                let found = unzipped(&out.bytes);
                let files = found.into_iter().filter(|(name, _)| is_file(name));
                let expected: BTreeMap<_, _> = state.iter().map(|(path, (content, _))| (path.clone(), content.clone())).collect();
                assert!(files.collect::<BTreeMap<_, _>>() == expected, "a zip tool finds something else");
            }
            let files = state.values().map(|(content, _)| content.len() as u64);
            assert_eq!((packed.files, packed.plain_bytes), (state.len() as u64, files.sum()));
            chain.points.push(put(&chain.storage, draft, &packed, &out.bytes).await);
            assert!(chain.restore(chain.points.len() - 1).await == plain(&state));
            // The next of the chain goes on from it.
            chain.add(&state).await;
            assert!(chain.read.is_empty() && chain.restore(chain.points.len() - 1).await == plain(&state));
        });
    }
}
