use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{Action, Held, Hold, Plan, retention};
use crate::{
    chain::{
        Gap, chains, restore_path,
        tests::{any_points, day, id, point, points},
    },
    domain::{BackupPoint, Location, Retention, Span},
};

fn keeping(duration: &str, minimum: u64) -> Retention {
    Retention::new(Span::parse(duration).unwrap(), minimum).unwrap()
}

fn number(point: &BackupPoint) -> u128 {
    point.id.as_u128()
}

fn order(plan: &Plan<'_>) -> Vec<u128> {
    plan.order.iter().map(|it| number(it)).collect()
}

/// What goes on day `now`, in its order, of backups taken on the days that are their numbers.
fn goes(text: &str, duration: &str, minimum: u64, now: i64) -> Vec<u128> {
    let points = points(text);
    order(&retention(&points, Some(&keeping(duration, minimum)), &Held::default(), day(now)))
}

const NONE: [u128; 0] = [];

/// Each backup and what holds it, in short: `1: expired chain, needed`.
fn held(plan: &Plan<'_>) -> Vec<String> {
    let short = |hold: &Hold| match hold {
        Hold::NotExpired => "young".to_owned(),
        Hold::MinimumNumberOfBackups => "minimum".to_owned(),
        Hold::NewestExpiredChain => "newest".to_owned(),
        Hold::NeededByNewerBackup => "needed".to_owned(),
        other => format!("{other:?}"),
    };
    let told = |holds: &[Hold]| holds.iter().map(short).collect::<Vec<_>>().join(" ");
    plan.verdicts.iter().map(|it| format!("{}: {}", number(it.point), told(&it.holds))).collect()
}

#[test]
fn of_the_expired_full_backups_the_newest_stays() {
    // On day 20 those of day 12 and before are older than a week.
    assert_eq!(goes("1 5 12 13 19", "P7D", 0, 20), [1, 5]);
    assert_eq!(goes("1 5 12", "P7D", 0, 20), [1, 5]);
    assert_eq!(goes("5", "P7D", 0, 20), NONE);
    assert_eq!(goes("", "P7D", 0, 20), NONE);
}

#[test]
fn a_backup_that_is_just_as_old_as_the_duration_is_not_older() {
    let points = points("1 2 3");
    let at = |now| order(&retention(&points, Some(&keeping("P7D", 0)), &Held::default(), now));
    assert_eq!(at(day(9)), NONE);
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(9));
    assert_eq!(held(&plan), ["1: newest", "2: young", "3: young"]);
    assert_eq!(at(day(9) + TimeDelta::milliseconds(1)), [1]);
    assert_eq!(at(day(10)), [1]);
    assert_eq!(at(day(10) + TimeDelta::milliseconds(1)), [1, 2]);
}

#[test]
fn three_months_are_90_days_and_a_year_365_through_leap_days_too() {
    // 2024-02-29 is day 60; 90 days after day 2 is day 92.
    let points = points("1 2 60");
    let at = |span, now| order(&retention(&points, Some(&keeping(span, 0)), &Held::default(), now));
    assert_eq!(at("P3M", day(92)), NONE);
    assert_eq!(at("P3M", day(92) + TimeDelta::seconds(1)), [1]);
    assert_eq!(at("P3M", day(150)), [1]);
    assert_eq!(at("P3M", day(150) + TimeDelta::seconds(1)), [1, 2]);
    assert_eq!(at("P1Y", day(60 + 365)), [1]);
    assert_eq!(at("P1Y", day(60 + 365) + TimeDelta::seconds(1)), [1, 2]);
}

#[test]
fn the_chain_across_the_cutoff_stays_whole() {
    let points = points("1 2<1 3<2 10 11<10 14<11 16<14 18");
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    assert_eq!(order(&plan), [3, 2, 1]);
    let holds =
        ["1: ", "2: ", "3: ", "10: newest needed", "11: newest needed", "14: young needed", "16: young", "18: young"];
    assert_eq!(held(&plan), holds);
}

#[test]
fn incremental_backups_of_the_newest_expired_full_one_stay_with_it() {
    assert_eq!(goes("1 2<1 5 6<5 7<6 18", "P7D", 0, 20), [2, 1]);
}

#[test]
fn the_minimum_counts_full_and_incremental_backups_and_all_that_stay() {
    let of = |minimum| goes("1 2<1 5 6<5 10 18", "P7D", minimum, 20);
    assert_eq!(of(0), [2, 1, 6, 5]);
    assert_eq!(of(2), [2, 1, 6, 5]);
    assert_eq!(of(3), [2, 1]);
    assert_eq!(of(4), [2, 1]);
    assert_eq!(of(5), NONE);
    assert_eq!(of(6), NONE);
    assert_eq!(of(u64::MAX), NONE);
}

#[test]
fn the_minimum_is_the_newest_backups() {
    assert_eq!(goes("1 2 3 4 5 18", "P7D", 3, 20), [1, 2, 3]);
    assert_eq!(goes("1 2 3 4 5 18", "P7D", 5, 20), [1]);
}

#[test]
fn a_chain_that_the_minimum_needs_a_part_of_stays_whole_and_so_do_newer_ones() {
    let points = points("1 2<1 3<2 4<3 6 10 18");
    let plan = retention(&points, Some(&keeping("P7D", 4)), &Held::default(), day(20));
    assert_eq!(order(&plan), NONE);
    let holds = ["1: minimum", "2: minimum", "3: minimum", "4: minimum", "6: minimum", "10: newest", "18: young"];
    assert_eq!(held(&plan), holds);
}

#[test]
fn a_chain_that_is_held_for_another_reason_lets_newer_ones_go() {
    let points = points("1 4 5<4 10 18");
    let held_back = Held { restoring: BTreeSet::from([id(1)]), ..Held::default() };
    let plan = retention(&points, Some(&keeping("P7D", 3)), &held_back, day(20));
    assert_eq!(order(&plan), [5, 4]);
    assert_eq!(held(&plan)[0], "1: RestoreInProgress minimum");
}

#[test]
fn a_policy_without_retention_keeps_everything() {
    let points = points("1 2 3<2 5<4");
    let plan = retention(&points, None, &Held::default(), day(5000));
    assert_eq!(order(&plan), NONE);
    assert!(plan.verdicts.iter().all(|it| it.holds == [Hold::NoRetentionPolicy] && it.deletable_from.is_none()));
    assert_eq!(plan.verdicts.len(), 4);
}

#[test]
fn a_chain_that_is_being_restored_is_held_whole_and_others_go() {
    let points = points("1 2<1 4 5<4 10 18");
    let held_back = Held { restoring: BTreeSet::from([id(4)]), ..Held::default() };
    let plan = retention(&points, Some(&keeping("P7D", 0)), &held_back, day(20));
    assert_eq!(order(&plan), [2, 1]);
    assert_eq!(held(&plan)[2..4], ["4: needed RestoreInProgress", "5: RestoreInProgress"]);
}

#[test]
fn a_loss_of_data_or_something_unreadable_holds_everything_of_the_partition() {
    let points = points("1 2<1 4 10 18");
    for (held_back, hold) in [
        (Held { data_loss: true, ..Held::default() }, Hold::DataLoss),
        (Held { unreadable: true, ..Held::default() }, Hold::Unreadable),
    ] {
        let plan = retention(&points, Some(&keeping("P7D", 0)), &held_back, day(20));
        assert_eq!(order(&plan), NONE);
        assert!(plan.verdicts.iter().all(|it| it.holds.contains(&hold)), "{plan:?}");
    }
}

#[test]
fn what_fits_into_no_chain_stays_with_its_reason_and_is_not_counted() {
    let points = points("1 3<2 4<3 5 10 18");
    let plan = retention(&points, Some(&keeping("P7D", 3)), &Held::default(), day(20));
    assert_eq!(order(&plan), [1], "the three that stay do not count those that cannot be restored");
    assert_eq!(plan.verdicts[1].holds, [Hold::Stray(Gap::NoParent(id(2)))]);
    assert_eq!(plan.verdicts[2].holds, [Hold::Stray(Gap::StrayParent(id(3)))]);
}

#[test]
fn what_a_fork_goes_on_from_stays() {
    let points = points("1 2<1 3<2 4<2 10 18");
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    assert_eq!(order(&plan), [3]);
    assert_eq!(held(&plan)[..2], ["1: needed", "2: needed"]);
    assert_eq!(plan.verdicts[0].deletable_from, None);
}

#[test]
fn of_two_backups_with_one_identity_neither_goes() {
    let mut points = points("1 2 3 10 18");
    points[2].id = id(2);
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    assert_eq!(order(&plan), [1]);
    assert!(plan.verdicts[1..3].iter().all(|it| it.holds == [Hold::Stray(Gap::Twice)] && it.deletable_from.is_none()));
}

#[test]
fn a_young_incremental_backup_holds_its_old_chain_even_beyond_a_newer_full_one() {
    let points = points("1 2<1 10 12 15<2 18");
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    assert_eq!(order(&plan), [10]);
    assert_eq!(held(&plan)[..2], ["1: needed", "2: needed"]);
    assert_eq!(plan.verdicts[0].deletable_from, Some(day(18 + 7)));
}

#[test]
fn a_backup_may_go_once_a_newer_full_one_is_expired() {
    let points = points("1 2<1 10 11<10 18");
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(12));
    let from: Vec<_> = plan.verdicts.iter().map(|it| it.deletable_from).collect();
    let (first, second) = (Some(day(17)), Some(day(25)));
    assert_eq!(from, [first, first, second, second, None]);
}

#[test]
fn a_verdict_says_why_in_words() {
    let points = points("1 2 3<2 18");
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    let reasons: Vec<String> = plan.verdicts.iter().map(super::Verdict::reason).collect();
    assert_eq!(reasons[0], "it is older than the retention duration, and so is a newer full backup");
    assert!(
        reasons[1].starts_with("no full backup that is newer") && reasons[1].contains("; a newer backup that stays")
    );
    assert_eq!(reasons[3], "it is not older than the retention duration");
}

#[test]
fn backups_of_the_same_second_are_told_apart() {
    let mut points = points("1 2 3 18");
    points.iter_mut().take(3).for_each(|it| it.created = day(1));
    let plan = retention(&points, Some(&keeping("P7D", 0)), &Held::default(), day(20));
    assert_eq!(order(&plan), [1, 2]);
}

#[test]
fn no_time_and_no_duration_is_too_great() {
    let mut points = points("1 2 3");
    points[2].created = DateTime::<Utc>::MAX_UTC;
    points[0].created = DateTime::<Utc>::MIN_UTC;
    for now in [DateTime::<Utc>::MIN_UTC, day(1), "9999-12-31T23:59:59Z".parse().unwrap(), DateTime::<Utc>::MAX_UTC] {
        for duration in ["PT1H", "P10000Y"] {
            let plan = retention(&points, Some(&keeping(duration, 0)), &Held::default(), now);
            assert_eq!(plan.verdicts.len(), 3);
        }
    }
}

/// Runs a policy for `days`: a full backup every `chain` days, an incremental one on the others, retention after each.
fn run(days: i64, chain: i64, retention_of: &Retention, mut look: impl FnMut(i64, &[BackupPoint])) {
    let mut kept: Vec<BackupPoint> = Vec::new();
    for today in 1..=days {
        let full = today - (today - 1) % chain;
        let number = |it: i64| u128::try_from(it).unwrap();
        kept.push(point(number(today), number(full), (today != full).then(|| number(today - 1))));
        let now = day(today) + TimeDelta::hours(1);
        let gone: HashSet<Location> = {
            let plan = retention(&kept, Some(retention_of), &Held::default(), now);
            plan.order.iter().map(|it| it.location.clone()).collect()
        };
        kept.retain(|it| !gone.contains(&it.location));
        look(today, &kept);
    }
}

#[test]
fn in_three_years_a_month_of_backups_and_no_more_than_the_chain_before_it_is_there() {
    run(1096, 7, &keeping("P1M", 0), |today, kept| {
        assert!(kept.len() <= 31 + 7, "{today}: {}", kept.len());
        assert!((1.max(today - 30)..=today).all(|it| kept.iter().any(|point| point.created == day(it))));
        assert!(chains(kept).strays.is_empty());
        assert!(today < 40 || kept[0].created <= day(today - 30), "nothing is beyond the cutoff");
    });
}

#[test]
fn in_a_year_the_minimum_is_always_there() {
    run(366, 5, &keeping("P7D", 20), |today, kept| {
        assert!(kept.len() >= usize::try_from(today.min(20)).unwrap(), "{today}");
        assert!(kept.len() < 20 + 5, "{today}: {}", kept.len());
    });
}

/// Chains as the service makes them, some with a fault.
fn history() -> impl Strategy<Value = Vec<BackupPoint>> {
    let steps = prop::collection::vec((0..4_u8, 0..30_u8), 0..40);
    steps.prop_map(|steps| {
        let mut points: Vec<BackupPoint> = Vec::new();
        for (number, (kind, fault)) in (1..).zip(steps) {
            let chain = points.last().map_or(0, |it| it.chain_id.as_u128());
            let newest = points.last().map(number_of);
            let goes_on = (kind > 0).then_some(newest).flatten();
            points.push(point(number, if goes_on.is_some() { chain } else { number }, goes_on));
            if fault == 0 {
                points.remove(points.len() / 2);
            }
        }
        points
    })
}

fn number_of(point: &BackupPoint) -> u128 {
    number(point)
}

fn any_held() -> impl Strategy<Value = Held> {
    let restoring = prop::collection::btree_set((1..20_u128).prop_map(id), 0..3);
    (restoring, prop::bool::weighted(0.05), prop::bool::weighted(0.05))
        .prop_map(|(restoring, data_loss, unreadable)| Held { restoring, data_loss, unreadable })
}

fn restorable(points: &[BackupPoint]) -> usize {
    chains(points).chains.iter().map(|it| it.points().count()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn wherever_a_retention_is_cut_short_what_stays_can_be_restored_and_the_next_plan_is_the_rest_of_it(
        points in prop_oneof![history(), any_points()],
        held in any_held(),
        days in 1..30_u16,
        minimum in 0..12_u64,
        now in 1..70_i64,
    ) {
        let policy = Retention::new(Span::days(days), minimum).unwrap();
        let plan = retention(&points, Some(&policy), &held, day(now));
        for cut in 0..=plan.order.len() {
            let gone: HashSet<&Location> = plan.order[..cut].iter().map(|it| &it.location).collect();
            let left: Vec<_> = points.iter().filter(|it| !gone.contains(&it.location)).cloned().collect();
            for point in &left {
                let (before, after) = (restore_path(&points, point.id), restore_path(&left, point.id));
                prop_assert!(before.is_err() || after.is_ok(), "{} is an orphan", point.location);
            }
            prop_assert!(cut == 0 || restorable(&left) as u64 >= minimum);
            let again = retention(&left, Some(&policy), &held, day(now));
            prop_assert_eq!(&again.order, &plan.order[cut..]);
        }
    }

    #[test]
    fn every_backup_has_one_verdict_with_holds_if_and_only_if_it_stays(
        points in prop_oneof![history(), any_points()],
        held in any_held(),
        days in 1..30_u16,
        minimum in 0..12_u64,
        now in 1..70_i64,
    ) {
        let policy = Retention::new(Span::days(days), minimum).unwrap();
        let plan = retention(&points, Some(&policy), &held, day(now));
        prop_assert_eq!(plan.verdicts.len(), points.len());
        for verdict in &plan.verdicts {
            let goes = plan.order.contains(&verdict.point);
            prop_assert_eq!(goes, verdict.action == Action::Delete);
            prop_assert_eq!(goes, verdict.holds.is_empty());
            prop_assert!(!goes || verdict.deletable_from.is_some_and(|from| from < day(now)));
            prop_assert!(!goes || verdict.point.created < day(now) - TimeDelta::days(days.into()));
        }
    }

    #[test]
    fn without_other_holds_a_backup_goes_after_the_moment_that_was_foretold(
        points in prop_oneof![history(), any_points()], days in 1..30_u16, now in 1..70_i64,
    ) {
        let policy = Retention::new(Span::days(days), 0).unwrap();
        let foretold = retention(&points, Some(&policy), &Held::default(), day(0));
        let plan = retention(&points, Some(&policy), &Held::default(), day(now));
        for (before, then) in foretold.verdicts.iter().zip(&plan.verdicts) {
            let goes = before.deletable_from.is_some_and(|from| from < day(now));
            prop_assert_eq!(goes, then.action == Action::Delete, "{:?} {:?}", before, then);
        }
    }
}
