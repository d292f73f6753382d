//! Plans what is fetched to restore: neighbouring frames are read together, in the order they are needed.
//!
//! Pure. Every frame lies in the window that was opened last before the frame is needed, so whoever takes the windows in
//! order never goes back.

use std::ops::Range;

use super::manifest::{Frame, Item, Items};

/// The most that is fetched at once, unless a single frame is larger.
const MOST: u64 = 4 << 20;
/// Less than this between two frames is fetched along: a second request costs more.
const GAP: u64 = 128 << 10;

/// A range of one zip that is fetched at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// As [`Frame::member`].
    pub(super) member: u32,
    /// Which bytes of its zip.
    pub(super) range: Range<u64>,
}

impl Window {
    fn of(frame: Frame) -> Self {
        Self { member: frame.member, range: frame.offset..end(frame) }
    }

    pub(super) fn holds(&self, frame: Frame) -> bool {
        self.member == frame.member && self.range.start <= frame.offset && end(frame) <= self.range.end
    }

    /// The frame's part of the bytes that were fetched; none if they are too few.
    pub(super) fn part<'a>(&self, bytes: &'a [u8], frame: Frame) -> Option<&'a [u8]> {
        let start = usize::try_from(frame.offset.checked_sub(self.range.start)?).ok()?;
        bytes.get(start..start.checked_add(frame.len as usize)?)
    }

    /// Grows to hold the frame too, if that is worth it.
    fn admit(&mut self, frame: Frame) -> bool {
        let near = self.range.end..=self.range.end.saturating_add(GAP);
        let small = end(frame) <= self.range.start.saturating_add(MOST);
        if self.member == frame.member && near.contains(&frame.offset) && small {
            self.range.end = end(frame);
        }
        self.holds(frame)
    }
}

fn end(frame: Frame) -> u64 {
    frame.offset.saturating_add(frame.len.into())
}

/// The windows of a manifest, in order. An error in the manifest ends them: whoever needs the next one reads it too.
pub(super) struct Windows {
    items: Items,
    open: Option<Window>,
}

impl Windows {
    pub(super) fn new(items: Items) -> Self {
        Self { items, open: None }
    }
}

impl Iterator for Windows {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        while let Some(Ok(item)) = self.items.next() {
            let Item::Block { stored, .. } = item else { continue };
            let open = self.open.get_or_insert_with(|| Window::of(stored.frame));
            if !open.admit(stored.frame) {
                return Some(std::mem::replace(open, Window::of(stored.frame)));
            }
        }
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP, MOST, Window, Windows};
    use crate::{
        archive::{
            block::{BlockHash, BlockSize},
            manifest::{Frame, Manifest, ManifestWriter, Member, Stored},
        },
        domain::{Entry, EntryKind, Location, TreePath},
    };

    /// The windows of a file with one block in each of these frames.
    fn plan(frames: &[(u32, u64, u32)]) -> Vec<(u32, u64, u64)> {
        let size = BlockSize::for_state(0);
        let member = Member { id: uuid::Uuid::nil(), location: Location("a.zip".into()), zip_len: 1 };
        let mut writer = ManifestWriter::new(size, &[member]).unwrap();
        let kind = EntryKind::File { len: frames.len() as u64 * u64::from(size.bytes()) };
        let path = TreePath::parse("f").unwrap();
        writer.entry(&Entry { path, kind, mode: 0, mtime_s: 0, mtime_ns: 0 }, 0).unwrap();
        for &(member, offset, len) in frames {
            let stored = Stored { hash: BlockHash([0; 32]), frame: Frame { member, offset, len }, place: 0 };
            writer.block(&stored, size.bytes()).unwrap();
        }
        let manifest = Manifest::read(writer.finish().unwrap().into()).unwrap();
        Windows::new(manifest.items().unwrap()).map(|w: Window| (w.member, w.range.start, w.range.end)).collect()
    }

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(plan(&[(0, 10, 5), (0, 15, 5), (0, 20 + GAP, 5)]), [(0, 10, 25 + GAP)]);
    }

    #[test]
    fn what_is_far_behind_or_in_another_zip_is_read_apart() {
        assert_eq!(plan(&[(0, 10, 5), (0, 16 + GAP, 5)]), [(0, 10, 15), (0, 16 + GAP, 21 + GAP)]);
        assert_eq!(plan(&[(0, 10, 5), (0, 0, 5)]), [(0, 10, 15), (0, 0, 5)]);
        assert_eq!(plan(&[(0, 10, 5), (1, 15, 5)]), [(0, 10, 15), (1, 15, 20)]);
    }

    #[test]
    fn a_frame_that_is_at_hand_is_not_read_again() {
        assert_eq!(plan(&[(0, 10, 5), (0, 15, 5), (0, 10, 5), (0, 20, 1)]), [(0, 10, 21)]);
    }

    #[test]
    fn a_window_has_a_largest_size() {
        let mib = 1 << 20;
        let frames: Vec<_> = (0..9).map(|n| (0, u64::from(n * mib), mib)).collect();
        assert_eq!(plan(&frames), [(0, 0, MOST), (0, MOST, 2 * MOST), (0, 2 * MOST, 2 * MOST + u64::from(mib))]);
        assert_eq!(plan(&[]), []);
    }
}
