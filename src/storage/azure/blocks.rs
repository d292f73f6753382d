//! How long the blocks of a blob are: as an upload does not know its length, they grow while it goes on.

/// Azure's limit for one blob.
pub(super) const MOST_BLOCKS: usize = 50_000;

const MIB: usize = 1 << 20;

/// Azure's limit for one block.
const LONGEST: usize = 4000 * MIB;

/// Up to this length as many blocks are on their way as 64 MiB of memory hold; longer ones take two of themselves.
const SHORT: usize = 32 * MIB;

/// At least so long is the block of that number, the last one excepted.
pub(super) fn block_size(index: usize) -> usize {
    match index {
        0..5_000 => SHORT / 4,
        5_000..10_000 => SHORT / 2,
        10_000..40_000 => SHORT,
        // Doubling every 50 blocks.
        _ => LONGEST.min(SHORT << ((index - 40_000) / 50 + 1).min(7)),
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, MIB, MOST_BLOCKS, SHORT, block_size};

    const TIB: usize = 1 << 40;

    #[test]
    fn blocks_start_at_8_mib_never_shrink_and_are_none_that_azure_refuses() {
        assert_eq!(block_size(0), 8 * MIB);
        assert!((1..MOST_BLOCKS).all(|index| block_size(index - 1) <= block_size(index)));
        assert_eq!(block_size(MOST_BLOCKS - 1), LONGEST);
    }

    #[test]
    fn a_terabyte_goes_up_in_short_blocks_and_all_of_them_hold_37_tib() {
        let of_short: usize = (0..MOST_BLOCKS).map(block_size).filter(|size| *size <= SHORT).sum();
        let of_all: usize = (0..MOST_BLOCKS).map(block_size).sum();
        assert!(of_short > TIB, "{of_short}");
        assert!(of_all > 37 * TIB, "{of_all}");
    }
}
