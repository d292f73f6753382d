//! Finds blocks by their hash: 40 bytes a block and up to 16 for the table of their numbers.
//!
//! Whole hashes are compared, so what is found is the block and no other.

use crate::archive::block::BlockHash;

const FIRST_TABLE: usize = 1 << 10;
const FREE: u32 = 0;

/// Where a block lies: the number of its frame, in whatever its owner counts frames, and where it starts in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) frame: u32,
    pub(super) place: u32,
}

/// A map from hashes to places that only grows.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<(BlockHash, At)>,
    /// One more than the number of a slot, at the first free place from where its hash points to. Never full.
    table: Vec<u32>,
}

impl Index {
    pub(super) fn get(&self, hash: &BlockHash) -> Option<At> {
        if self.table.is_empty() {
            return None;
        }
        let slot = self.slot(self.table[self.find(hash)])?;
        Some(slot.1)
    }

    /// Adds a block, unless it is there or there are too many to count.
    pub(super) fn add(&mut self, hash: BlockHash, at: At) {
        if self.slots.len() * 4 >= self.table.len() * 3 {
            self.grow();
        }
        let (free, Ok(number)) = (self.find(&hash), u32::try_from(self.slots.len() + 1)) else { return };
        if self.table[free] == FREE {
            self.table[free] = number;
            self.slots.push((hash, at));
        }
    }

    /// Where the hash is in the table, or where it would be.
    fn find(&self, hash: &BlockHash) -> usize {
        let mask = self.table.len() - 1;
        let mut at = start(hash) & mask;
        while self.slot(self.table[at]).is_some_and(|slot| slot.0 != *hash) {
            at = (at + 1) & mask;
        }
        at
    }

    fn slot(&self, number: u32) -> Option<&(BlockHash, At)> {
        if number == FREE { None } else { self.slots.get(number as usize - 1) }
    }

    fn grow(&mut self) {
        self.table = vec![FREE; (self.table.len() * 2).max(FIRST_TABLE)];
        let mask = self.table.len() - 1;
        for (number, (hash, _)) in (1..).zip(&self.slots) {
            let mut at = start(hash) & mask;
            while self.table[at] != FREE {
                at = (at + 1) & mask;
            }
            self.table[at] = number;
        }
    }
}

fn start(hash: &BlockHash) -> usize {
    usize::from_le_bytes(std::array::from_fn(|n| hash.0[n]))
}

#[cfg(test)]
mod tests {
    use super::{At, Index};
    use crate::archive::block::BlockHash;

    fn at(n: u32) -> At {
        At { frame: n, place: n + 1 }
    }

    #[test]
    fn every_block_is_found_where_it_was_first_added_and_no_other_is() {
        let mut index = Index::default();
        let hash = |n: u32| BlockHash::of(&n.to_le_bytes());
        assert_eq!(index.get(&hash(0)), None);
        for n in 0..5000 {
            index.add(hash(n), at(n));
            index.add(hash(n / 2), at(n + 9));
        }
        assert!((0..5000).all(|n| index.get(&hash(n)) == Some(at(n))));
        assert!((5000..9000).all(|n| index.get(&hash(n)).is_none()));
    }

    #[test]
    fn hashes_that_begin_alike_are_told_apart() {
        let mut index = Index::default();
        let hash = |n: u8| BlockHash(std::array::from_fn(|at| if at == 31 { n } else { 0xff }));
        for n in 0..100 {
            index.add(hash(n), at(n.into()));
        }
        assert!((0..100).all(|n| index.get(&hash(n)) == Some(at(n.into()))));
        assert_eq!(index.get(&hash(100)), None);
    }
}
