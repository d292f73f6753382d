//! How long the blocks of a blob are.
//!
//! An upload knows about how long it will be, or nothing of it. Where it would not fit into short blocks they are all of
//! the length that it needs. Where it turns out longer than anybody knew they grow while it goes on.

/// Azure's limit for one blob.
pub(super) const MOST_BLOCKS: usize = 50_000;

const MIB: usize = 1 << 20;

/// Azure's limit for one block.
const LONGEST: usize = 4000 * MIB;

/// Up to this length several blocks are on their way at once; longer ones take twice their length of memory.
const SHORT: usize = 32 * MIB;

/// So many blocks are as long as they were meant to be. The others are for those who knew too little.
const PLANNED: usize = 40_000;

/// Blocks are whole numbers of these, so that the parts that come need not be cut.
const STEP: usize = 8 * MIB;

/// The lengths for one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// All of this length, as short ones would not do.
    long: Option<usize>,
}

impl Blocks {
    /// Of a blob that will be about so long, or shorter; 0 if nobody knows.
    pub(super) fn of(about: u64) -> Self {
        let share = usize::try_from(about.div_ceil(PLANNED as u64)).unwrap_or(LONGEST);
        let fits = (0..PLANNED).map(|index| short(index) as u64).sum::<u64>() >= about;
        Self { long: (!fits).then(|| share.next_multiple_of(STEP).clamp(SHORT, LONGEST)) }
    }

    /// After so many blocks at the earliest one may be cut short where packing could go on: blocks are few, and long ones
    /// are all needed.
    pub(super) fn between_cuts(self, index: usize) -> usize {
        if self.size(index) <= SHORT { 8 } else { 1000 }
    }

    /// So long is the block of that number, the last one excepted.
    pub(super) fn size(self, index: usize) -> usize {
        let planned = self.long.unwrap_or_else(|| short(index));
        // Doubling every 50 blocks, seven times.
        let growth = index.checked_sub(PLANNED).map_or(0, |beyond| (beyond / 50 + 1).min(7));
        LONGEST.min(planned << growth)
    }
}

/// At first as many as are on their way at once, so that small blobs go up side by side too. Later ones are longer: each costs
/// client and server something, and large blobs would have too many of them.
fn short(index: usize) -> usize {
    match index {
        0..8 => SHORT / 4,
        8..5_000 => SHORT / 2,
        _ => SHORT,
    }
}

#[cfg(test)]
mod tests {
    use super::{Blocks, LONGEST, MIB, MOST_BLOCKS, SHORT, STEP};

    const TIB: u64 = 1 << 40;

    fn room(about: u64) -> u64 {
        let blocks = Blocks::of(about);
        (0..MOST_BLOCKS).map(|index| blocks.size(index) as u64).sum()
    }

    #[test]
    fn every_length_to_190_tib_fits_into_the_blocks_that_are_planned_for_it_and_into_what_azure_takes() {
        for gib in (0..=190 * 1024).step_by(256) {
            let about: u64 = gib << 30;
            let blocks = Blocks::of(about);
            let sizes: Vec<_> = (0..MOST_BLOCKS).map(|index| blocks.size(index)).collect();
            assert!(sizes.iter().all(|size| *size <= LONGEST && size % STEP == 0), "{gib} GiB");
            assert!(sizes.is_sorted(), "{gib} GiB");
            assert!(sizes.iter().map(|size| *size as u64).sum::<u64>() >= about, "{gib} GiB");
        }
    }

    #[test]
    fn who_knew_too_little_by_a_tenth_still_ends() {
        for tib in 0..170 {
            assert!(room(tib * TIB) >= (tib * TIB).max(TIB) * 11 / 10, "{tib} TiB");
        }
        assert!(room(0) > 37 * TIB, "who knew nothing");
    }

    #[test]
    fn what_fits_goes_up_in_short_blocks_and_longer_ones_are_no_longer_than_they_must() {
        let usual = Blocks::of(0);
        assert_eq!(usual.size(0), 8 * MIB);
        assert!((0..40_000).all(|index| usual.size(index) <= SHORT));
        for about in [1, TIB / 1024, TIB] {
            assert_eq!(Blocks::of(about), usual, "{about}");
        }
        // The table of docs/STORAGE.md.
        for (tib, mib) in [(2, 56), (5, 136), (10, 264), (20, 528), (50, 1312), (100, 2624), (150, 3936), (190, 4000)] {
            assert_eq!(Blocks::of(tib * TIB).size(0), mib * MIB, "{tib} TiB");
        }
    }

    #[test]
    fn more_than_a_blob_can_be_is_planned_as_long_as_one_can_be() {
        assert_eq!(Blocks::of(u64::MAX), Blocks::of(190 * TIB));
    }
}
