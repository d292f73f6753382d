use proptest::prelude::*;

use super::{FOLDERS, GAP, MOST, PLAIN, Planner, STEPS, Step};
use crate::archive::manifest::Frame;

const BLOCK: u64 = 64 << 10;

/// A step that is known by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    number: usize,
    frame: Frame,
    folder: u64,
}

impl Step for Numbered {
    fn frame(&self) -> Frame {
        self.frame
    }

    fn plain(&self) -> u64 {
        BLOCK
    }

    fn folder(&self) -> u64 {
        self.folder
    }
}

fn steps(frames: impl IntoIterator<Item = (u32, u64, u32)>) -> Vec<Numbered> {
    let step = |(number, (member, offset, len))| Numbered { number, frame: Frame { member, offset, len }, folder: 0 };
    frames.into_iter().enumerate().map(step).collect()
}

/// A window that was handed on: where it is, and which steps it has.
type Told = ((u32, u64, u64), Vec<usize>);

/// The windows of these steps, in the order in which they are handed on.
fn plan(steps: &[Numbered]) -> Vec<Told> {
    let (mut planner, mut told) = (Planner::new(), vec![]);
    for step in steps {
        planner.add(*step);
        assert!(planner.steps <= STEPS && planner.folders <= FOLDERS.1);
        told.extend(std::iter::from_fn(|| planner.take()));
    }
    planner.end();
    told.extend(std::iter::from_fn(|| planner.take()));
    assert!(planner.open.is_empty() && planner.ages.is_empty() && (planner.steps, planner.folders) == (0, 0));
    let tell = |batch: super::Batch<Numbered>| {
        assert!(batch.steps.len() == 1 || batch.steps.len() as u64 * BLOCK <= PLAIN);
        for step in &batch.steps {
            let bytes = vec![0; usize::try_from(batch.window.range.end - batch.window.range.start).unwrap()];
            let part = batch.window.part(&bytes, step.frame).expect("each frame is in its window");
            assert_eq!((part.len(), batch.window.member), (step.frame.len as usize, step.frame.member));
        }
        let window = (batch.window.member, batch.window.range.start, batch.window.range.end);
        (window, batch.steps.iter().map(|step| step.number).collect())
    };
    told.into_iter().map(tell).collect()
}

/// Only where the windows are.
fn windows(frames: &[(u32, u64, u32)]) -> Vec<(u32, u64, u64)> {
    plan(&steps(frames.iter().copied())).into_iter().map(|(window, _)| window).collect()
}

#[test]
fn neighbours_are_read_together() {
    assert_eq!(windows(&[(0, 10, 5), (0, 15, 5), (0, 20 + GAP, 5)]), [(0, 10, 25 + GAP)]);
    assert_eq!(windows(&[]), []);
}

#[test]
fn what_is_far_behind_or_before_or_in_another_zip_is_read_apart() {
    assert_eq!(windows(&[(0, 10, 5), (0, 16 + GAP, 5)]), [(0, 10, 15), (0, 16 + GAP, 21 + GAP)]);
    assert_eq!(windows(&[(0, 10, 5), (0, 0, 5)]), [(0, 10, 15), (0, 0, 5)]);
    assert_eq!(windows(&[(0, 10, 5), (1, 15, 5)]), [(0, 10, 15), (1, 15, 20)]);
}

#[test]
fn a_frame_that_is_at_hand_is_not_read_again() {
    assert_eq!(windows(&[(0, 10, 5), (0, 15, 5), (0, 10, 5), (0, 20, 1)]), [(0, 10, 21)]);
}

#[test]
fn a_window_has_a_largest_size_unless_a_frame_is_larger() {
    let mib = 1 << 20;
    let frames: Vec<_> = (0..9).map(|n| (0, u64::from(n * mib), mib)).collect();
    assert_eq!(windows(&frames), [(0, 0, MOST), (0, MOST, 2 * MOST), (0, 2 * MOST, 2 * MOST + u64::from(mib))]);
    assert_eq!(windows(&[(0, 0, 9 * mib)]), [(0, 0, 9 * u64::from(mib))]);
}

#[test]
fn members_that_alternate_cost_no_more_windows_than_members_in_turn() {
    let (members, blocks, len) = (8, 40, 60_000);
    let told =
        plan(&steps((0..blocks).flat_map(|n| (0..members).map(move |member| (member, n * u64::from(len), len)))));
    assert_eq!(told.len(), members as usize, "each has 2.4 MB");
}

#[test]
fn a_chain_of_a_hundred_increments_with_a_block_each_reads_every_one_once_and_the_full_as_if_alone() {
    let frame = 1 << 20;
    // Blocks 160 apart, each in a zip of its own; the rest are the full's, sixteen to a frame.
    let block = |n: u64| match n % 160 {
        80 => (u32::try_from(1 + n / 160).unwrap(), 77, 60_000),
        _ => (0, n / 16 * u64::from(frame), frame),
    };
    let told = plan(&steps((0..16_000).map(block)));
    assert_eq!(told.iter().filter(|((member, ..), _)| *member > 0).count(), 100);
    let full: u64 = told.iter().filter(|((member, ..), _)| *member == 0).map(|((_, start, end), _)| end - start).sum();
    assert_eq!(full, 1000 * u64::from(frame));
}

#[test]
fn the_window_that_is_open_longest_goes_when_there_are_too_many_steps() {
    let frames: Vec<_> = (0..5000_u32).map(|n| (n, 0, 5)).collect();
    let told = plan(&steps(frames.iter().copied()));
    assert_eq!(told.len(), 5000);
    assert!(told.iter().map(|((member, ..), _)| *member).eq(0..5000));
}

#[test]
fn a_window_holds_few_folders_and_all_windows_together_hold_a_few_more() {
    let step = |n: u64| Numbered { folder: n, ..steps([(0, n * 100, 100)])[0] };
    let told = plan(&(0..100).map(step).collect::<Vec<_>>());
    assert!(told.iter().map(|(_, steps)| steps.len()).eq([32, 32, 32, 4]), "{told:?}");
}

/// Runs of frames in a few regions of a few members, as chains and renames leave them.
fn frames() -> impl Strategy<Value = Vec<(u32, u64, u32)>> {
    let run = (0..4_u32, 0..40_u64, 1..300_u64, 1..200_000_u32, 0..2 * GAP);
    let unrolled = |(member, region, count, len, gap): (u32, u64, u64, u32, u64)| {
        (0..count).map(move |n| (member, (region << 22) + n * (u64::from(len) + gap), len)).collect::<Vec<_>>()
    };
    let runs = proptest::collection::vec(run.prop_map(unrolled), 1..12);
    // Runs beside each other take turns.
    runs.prop_map(|mut runs| {
        let mut all = vec![];
        while runs.iter().any(|run| !run.is_empty()) {
            all.extend(runs.iter_mut().filter(|run| !run.is_empty()).map(|run| run.remove(0)));
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_step_is_in_one_window_that_holds_its_frame_and_little_else(frames in frames()) {
        let steps = steps(frames);
        let told = plan(&steps);
        let mut numbers: Vec<_> = told.iter().flat_map(|(_, steps)| steps.iter().copied()).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.into_iter().eq(0..steps.len()));
        for ((_, start, end), of) in told {
            let mut used: Vec<_> = of.iter().map(|number| steps[*number].frame).collect();
            used.sort_by_key(|frame| frame.offset);
            prop_assert_eq!(used[0].offset, start);
            let mut reached = start;
            for frame in used {
                prop_assert!(frame.offset <= reached + GAP, "nothing but gaps is fetched along");
                reached = reached.max(frame.offset + u64::from(frame.len));
            }
            prop_assert_eq!(reached, end);
            prop_assert!(end - start <= MOST || of.iter().all(|number| steps[*number].frame.offset == start));
        }
    }
}
