use std::{fs, path::Path};

use uuid::Uuid;

use super::{Journal, JournalError, LONGEST, MANIFEST, Pen, Records, put_all};
use crate::{
    archive::{
        BlockSize, Grown, Out, Packer, Packing,
        testing::{file, noise, place},
    },
    domain::Location,
    spool::Spools,
};

const ID: Uuid = Uuid::from_u128(7);

fn location() -> Location {
    place().location(crate::archive::testing::noon())
}

/// Writes a journal as it goes.
struct Told(Vec<u8>, Pen);

impl std::io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Out for Told {
    fn distance(&self) -> Option<u64> {
        Some(1)
    }

    fn mark(&mut self, grown: Grown) -> std::io::Result<()> {
        let mark = grown.mark;
        self.1.note(grown);
        self.1.safe(mark, mark.offset.to_string())
    }
}

fn journal(directory: &Path) -> Journal {
    let (journal, packing) = (Journal::new(directory.join("journal"), 1), Packing::full(BlockSize::for_state(0)));
    let pen = Pen::new(journal.clone(), ID, &location(), &packing).unwrap();
    let mut packer = Packer::start(Told(vec![], pen), &packing, std::sync::Arc::default()).unwrap();
    for (entry, content) in [file("a", noise(100)), file("b", noise(3 << 20)), file("c", noise(1 << 20))] {
        packer.stamped(&entry, 5, &mut content.as_slice()).unwrap();
    }
    packer.finish().unwrap();
    journal
}

#[test]
fn a_journal_that_was_torn_says_what_it_said_before_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let whole = fs::read(&journal.file).unwrap();
    let (mut last, mut steps) = (0, 0);
    for len in 0..=whole.len() {
        fs::write(&journal.file, &whole[..len]).unwrap();
        match journal.read(ID, &location(), &Spools::in_memory()) {
            Ok(read) => {
                let read = read.unwrap();
                assert_eq!(read.sign, read.left.mark.offset.to_string());
                assert!(read.left.mark.offset >= last);
                steps += usize::from(read.left.mark.offset > last);
                last = read.left.mark.offset;
            }
            Err(JournalError::Torn) => assert_eq!(last, 0, "at {len}"),
            Err(other) => panic!("at {len}: {other:?}"),
        }
    }
    assert!(steps >= 4, "{steps}");
}

#[test]
fn a_journal_with_a_flipped_bit_says_no_more_than_what_stands_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let whole = fs::read(&journal.file).unwrap();
    let end = journal.read(ID, &location(), &Spools::in_memory()).unwrap().unwrap().left.mark.offset;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&journal.file, &bytes).unwrap();
        if let Ok(Some(read)) = journal.read(ID, &location(), &Spools::in_memory()) {
            assert!(read.left.mark.offset < end, "at {at}");
        }
    }
}

#[test]
fn the_journal_of_another_attempt_is_not_taken_for_ours_and_no_journal_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let elsewhere = Location("x".to_owned());
    assert!(matches!(journal.read(Uuid::nil(), &location(), &Spools::in_memory()), Err(JournalError::Other)));
    assert!(matches!(journal.read(ID, &elsewhere, &Spools::in_memory()), Err(JournalError::Other)));
    journal.remove();
    assert!(journal.read(ID, &location(), &Spools::in_memory()).unwrap().is_none());
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
}

#[test]
fn an_older_journal_stays_good_until_the_new_one_has_something_durable() {
    let directory = tempfile::tempdir().unwrap();
    let journal = journal(directory.path());
    let before = fs::read(&journal.file).unwrap();
    let packing = Packing::full(BlockSize::for_state(0));
    let _pen = Pen::new(journal.clone(), ID, &location(), &packing).unwrap();
    assert_eq!(fs::read(&journal.file).unwrap(), before);
}

#[test]
fn what_is_too_long_for_a_record_takes_several_and_comes_back_in_one() {
    let mut out = Vec::new();
    let long = noise(2 * LONGEST + 5);
    for bytes in [long.clone(), vec![], vec![7]] {
        put_all(&mut out, MANIFEST, &bytes.into()).unwrap();
    }
    let (mut records, mut found) = (Records(out.as_slice()), Vec::new());
    while let Some((kind, bytes)) = records.next().unwrap() {
        assert_eq!(kind, MANIFEST);
        found.push(bytes);
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 5, 1]);
    assert!(found[..3].concat() == long);
    let lies = [vec![MANIFEST], u32::MAX.to_le_bytes().to_vec(), vec![0; 100]].concat();
    assert!(Records(lies.as_slice()).next().unwrap().is_none());
}
