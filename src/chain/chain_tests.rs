use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Chains, Gap, chains, restore_path};
use crate::domain::{BackupPoint, Epoch, Location, Parent, PartitionKind};

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A day of 2024.
pub(crate) fn day(number: i64) -> DateTime<Utc> {
    "2024-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(number - 1)
}

/// Backup `number` of chain `chain`, taken on day `number`.
pub(crate) fn point(number: u128, chain: u128, parent: Option<u128>) -> BackupPoint {
    let location = |number| Location(format!("A\\S\\P\\{number:03}.zip"));
    BackupPoint {
        id: id(number),
        chain_id: id(chain),
        parent: parent.map(|parent| Parent { id: id(parent), location: location(parent) }),
        location: location(number),
        created: day(i64::try_from(number).unwrap()),
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 1,
        partition: PartitionKind::Singleton,
        manifest_version: "1.0".into(),
    }
}

/// Backups from their numbers: `5` is a full one, `7<5` one that goes on from it. Chain identities are as they must be.
pub(crate) fn points(text: &str) -> Vec<BackupPoint> {
    let mut points: Vec<BackupPoint> = Vec::new();
    for word in text.split_whitespace() {
        let (number, parent) = word.split_once('<').map_or((word, None), |(it, parent)| (it, Some(parent)));
        let (number, parent) = (number.parse().unwrap(), parent.map(|it| it.parse::<u128>().unwrap()));
        let before = points.iter().find(|it| Some(it.id) == parent.map(id));
        let chain = before.map_or(parent.unwrap_or(number), |it| it.chain_id.as_u128());
        points.push(point(number, chain, parent));
    }
    points
}

/// The numbers of chains and strays as text: `1 2 3 | 5 6 | stray 8 9`.
fn told(found: &Chains<'_>) -> String {
    let number = |it: &BackupPoint| it.id.as_u128().to_string();
    let chains = found.chains.iter().map(|chain| chain.points().map(number).collect::<Vec<_>>().join(" "));
    let strays = found.strays.iter().map(|it| format!("stray {}: {:?}", number(it.point), it.why));
    chains.chain(strays).collect::<Vec<_>>().join(" | ").replace("00000000-0000-0000-0000-0000000000", "")
}

#[test]
fn backups_make_chains_however_they_are_ordered() {
    let mut points = points("1 2<1 3<2 5 6<5 7");
    for _ in 0..points.len() {
        assert_eq!(told(&chains(&points)), "1 2 3 | 5 6 | 7");
        points.rotate_left(1);
    }
    points.reverse();
    assert_eq!(told(&chains(&points)), "1 2 3 | 5 6 | 7");
    assert_eq!(told(&chains(&[])), "");
}

#[test]
fn what_goes_on_from_nothing_is_a_stray_and_so_is_what_goes_on_from_it() {
    let points = points("1 3<2 4<3 5");
    assert_eq!(told(&chains(&points)), "1 | 5 | stray 3: NoParent(02) | stray 4: StrayParent(03)");
    assert_eq!(restore_path(&points, id(4)), Err(Gap::NoParent(id(2))));
}

#[test]
fn of_two_that_go_on_from_the_same_backup_the_older_is_in_the_chain_and_both_can_be_restored() {
    let points = points("1 2<1 4<1 3<2 5<4");
    assert_eq!(told(&chains(&points)), "1 2 3 | stray 4: Fork(02) | stray 5: StrayParent(04)");
    let path: Vec<u128> = restore_path(&points, id(5)).unwrap().iter().map(|it| it.id.as_u128()).collect();
    assert_eq!(path, [1, 4, 5]);
}

#[test]
fn one_that_names_another_chain_does_not_take_the_place_of_one_that_fits() {
    let points = [point(1, 1, None), point(2, 9, Some(1)), point(3, 1, Some(1)), point(4, 9, Some(3))];
    assert_eq!(told(&chains(&points)), "1 3 | stray 2: OtherChain(09) | stray 4: OtherChain(09)");
    assert_eq!(restore_path(&points, id(2)), Err(Gap::OtherChain(id(9))));
}

#[test]
fn a_circle_leads_to_no_full_backup() {
    let points = [point(1, 1, Some(2)), point(2, 1, Some(1)), point(3, 3, Some(3))];
    let strays = "stray 1: StrayParent(02) | stray 2: StrayParent(01) | stray 3: StrayParent(03)";
    assert_eq!(told(&chains(&points)), strays);
    assert_eq!(restore_path(&points, id(1)), Err(Gap::Circle));
    assert_eq!(restore_path(&points, id(3)), Err(Gap::Circle));
}

#[test]
fn of_two_backups_with_one_identity_the_older_counts() {
    let mut twin = point(2, 2, None);
    twin.created = day(9);
    let mut points = [twin, point(2, 2, None), point(3, 2, Some(2))];
    assert_eq!(told(&chains(&points)), "2 3 | stray 2: Twice");
    assert_eq!(restore_path(&points, id(3)).unwrap(), [&points[1], &points[2]]);
    points.rotate_left(1);
    assert_eq!(restore_path(&points, id(3)).unwrap(), [&points[0], &points[1]]);
}

#[test]
fn a_full_backup_stands_alone_whatever_chain_it_names() {
    let points = [point(1, 8, None), point(2, 1, Some(1))];
    assert_eq!(told(&chains(&points)), "1 2");
    assert_eq!(restore_path(&points, id(1)).unwrap(), [&points[0]]);
}

#[test]
fn a_restore_needs_all_from_the_full_backup_on_and_nothing_newer() {
    let points = points("1 2<1 3<2 4<3 5");
    let found = chains(&points);
    for (wanted, needed) in [(1, vec![1]), (3, vec![1, 2, 3]), (5, vec![5])] {
        let numbers = |path: Vec<&BackupPoint>| path.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>();
        assert_eq!(numbers(restore_path(&points, id(wanted)).unwrap()), needed);
        let chain = found.chains.iter().find(|it| it.points().any(|it| it.id == id(wanted))).unwrap();
        assert_eq!(numbers(chain.restore_path(id(wanted)).unwrap()), needed);
    }
    assert_eq!(restore_path(&points, id(6)), Err(Gap::Unknown(id(6))));
    assert_eq!(found.chains[0].restore_path(id(5)), Err(Gap::Unknown(id(5))));
}

#[test]
fn a_gap_says_which_backup_it_is_about() {
    let text = Gap::NoParent(id(2)).to_string();
    assert!(text.contains("00000000-0000-0000-0000-000000000002"), "{text}");
}

/// Backups that hang together in any way at all: right and wrong parents and chains, forks, circles and twins.
pub(crate) fn any_points() -> impl Strategy<Value = Vec<BackupPoint>> {
    let one = (1..20_u128, 1..20_u128, prop::option::of(1..20_u128), 1..60_i64);
    prop::collection::vec(one, 0..24).prop_map(|drawn| {
        let made = drawn.into_iter().enumerate().map(|(index, (number, chain, parent, created))| BackupPoint {
            location: Location(format!("{index}.zip")),
            created: day(created),
            ..point(number, chain, parent)
        });
        made.collect()
    })
}

proptest! {
    #[test]
    fn whatever_is_found_each_backup_is_told_once_and_what_is_in_a_chain_can_be_restored(points in any_points()) {
        let found = chains(&points);
        let all = found.chains.iter().flat_map(super::Chain::points).chain(found.strays.iter().map(|it| it.point));
        let mut told: Vec<_> = all.map(|it| &it.location).collect();
        told.sort();
        let mut given: Vec<_> = points.iter().map(|it| &it.location).collect();
        given.sort();
        prop_assert_eq!(told, given);
        for chain in &found.chains {
            let linked: Vec<_> = chain.points().collect();
            prop_assert!(linked[0].is_full());
            prop_assert!(linked.windows(2).all(|it| it[1].parent.as_ref().unwrap().id == it[0].id));
            prop_assert!(linked[1..].iter().all(|it| it.chain_id == chain.id()));
            prop_assert_eq!(chain.restore_path(chain.newest().id).unwrap(), linked);
        }
        for point in &points {
            let _ = restore_path(&points, point.id);
        }
    }
}
