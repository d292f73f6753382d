use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use uuid::Uuid;

use super::{RehearseError, rehearse};
use crate::{
    archive::{Archive, ExtractError, Keys},
    engine::tests::{Node, ONE, go, run, storage},
    job::{Checked, State},
    spool::Spools,
};

/// Takes a backup of a state with some of everything.
async fn backed_up() -> (Node, Archive) {
    let node = Node::new(go(), 1, 1);
    let state = node.state(ONE);
    fs::create_dir(state.join("d")).unwrap();
    fs::write(state.join("d/f"), vec![7; 100_000]).unwrap();
    std::os::unix::fs::symlink("nowhere", state.join("d/link")).unwrap();
    fs::set_permissions(state.join("d"), fs::Permissions::from_mode(0o550)).unwrap();
    node.ask_backup(ONE).await;
    node.engine.work(ONE).await.unwrap();
    let State::Succeeded(point) = node.backup(ONE).await else { panic!("no backup") };
    let Ok(store) = node.engine.open(&storage(node.root.path())).await else { panic!("no store") };
    let archive = Archive::open(&store, &point.location, &Spools::in_memory()).await.unwrap();
    (node, archive)
}

async fn rehearsed(archive: &Archive, scratch: &Path) -> Result<Checked, RehearseError> {
    rehearse(archive, scratch, Uuid::from_u128(9), Arc::default()).await
}

/// What lies beside the state and the share.
fn names(node: &Node) -> Vec<String> {
    let names = fs::read_dir(node.root.path()).unwrap().map(|name| name.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_that_is_whole_passes_its_rehearsal_and_nothing_is_left_of_it() {
    run(async {
        let (node, archive) = backed_up().await;
        let checked = rehearsed(&archive, &node.root.path().join("scratch")).await.unwrap();
        assert_eq!((checked.damages, checked.findings), (0, vec![]));
        assert_eq!(names(&node), ["share", "state1"]);
    });
}

#[test]
fn damage_ends_a_rehearsal_as_it_ends_a_restore_and_nothing_is_left_of_it() {
    run(async {
        let (node, archive) = backed_up().await;
        let zip = node.share().join(Keys::of(&archive.point().location).unwrap().zip);
        let mut bytes = fs::read(&zip).unwrap();
        let zstd = bytes.windows(4).position(|magic| magic == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
        bytes[zstd] ^= 1;
        fs::write(zip, bytes).unwrap();
        let error = rehearsed(&archive, &node.root.path().join("scratch")).await.unwrap_err();
        assert!(matches!(&error, RehearseError::Extract(ExtractError::Damaged { .. })), "{error}");
        assert_eq!(names(&node), ["share", "state1"]);
    });
}

#[test]
fn a_scratch_directory_that_is_somebodys_is_left_alone() {
    run(async {
        let (node, archive) = backed_up().await;
        let scratch = node.root.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        fs::write(scratch.join("theirs"), "").unwrap();
        let error = rehearsed(&archive, &scratch).await.unwrap_err();
        assert!(matches!(error, RehearseError::Scratch { .. }), "{error}");
        assert!(scratch.join("theirs").exists());
    });
}
