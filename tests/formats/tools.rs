//! A full backup's zip in the hands of other people's tools. They need `7zz` of version 24 or later and `bsdtar`.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use fabric_backup::{
    archive::{BlockSize, Packer, Packing},
    domain::{Entry, EntryKind, TreePath},
};

use crate::state::{Tree, describe, file, noise, on_disk, pack, small, sorted};

/// Runs a tool to its end; a tool that is missing or fails is a failure of the test that says so.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| missing(program, &error));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text.into_owned()
}

fn missing(program: &str, error: &io::Error) -> ! {
    panic!("{program} cannot be run ({error}): apt-get install 7zip libarchive-tools")
}

/// The small state, files of several frames, and files whose last bytes just fill an extractor's buffer.
fn state() -> Tree {
    let mut text = noise(10_000).repeat(400);
    text.truncate((3 << 20) + 7);
    let mut island = vec![0; 5 << 20];
    island[5 << 19..][..9].copy_from_slice(b"an island");
    let mut tree = small();
    tree.extend([file("big noise", 0o644, noise((2 << 20) + 1)), file("big text", 0o644, text)]);
    tree.extend([file("island", 0o644, island), file("half a MiB", 0o644, noise(512 << 10))]);
    tree.push(file("zeros", 0o644, vec![0; 1 << 20]));
    sorted(tree)
}

fn packer(path: &Path, bytes: u64) -> Packer<File> {
    let packing = Packing::full(BlockSize::for_state(bytes));
    Packer::start(File::create(path).unwrap(), &packing, Arc::default()).unwrap()
}

fn write_zip(path: &Path, tree: &Tree) {
    let mut packer = packer(path, 0);
    pack(tree, &mut packer).unwrap();
    packer.finish().unwrap();
}

/// Packs the state, extracts it with a tool, and compares everything but the fractions of seconds, which no zip has.
fn extracts_equal(program: &str, arguments: impl FnOnce(&str, &str) -> Vec<String>, links_have_times: bool) {
    let home = tempfile::tempdir().unwrap();
    let (zip, out) = (home.path().join("a.zip"), home.path().join("out"));
    std::fs::create_dir(&out).unwrap();
    let mut expected = state();
    write_zip(&zip, &expected);
    let arguments = arguments(zip.to_str().unwrap(), out.to_str().unwrap());
    run(program, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = on_disk(&out);
    for (entry, _) in expected.iter_mut().chain(&mut found) {
        entry.mtime_ns = 0;
        if !links_have_times && matches!(entry.kind, EntryKind::Symlink { .. }) {
            entry.mtime_s = 0;
        }
    }
    assert_eq!(describe(&found), describe(&expected));
    assert!(out.join(".fabric-backup/manifest").is_file(), "the manifest is an entry like any other");
}

#[test]
fn seven_zip_extracts_the_state() {
    extracts_equal("7zz", |zip, out| ["x", "-bd", &format!("-o{out}"), zip].map(str::to_owned).to_vec(), false);
}

#[test]
fn bsdtar_extracts_the_state() {
    extracts_equal("bsdtar", |zip, out| ["-xpf", zip, "-C", out].map(str::to_owned).to_vec(), true);
}

#[test]
fn seven_zip_finds_no_fault_in_an_empty_state() {
    let home = tempfile::tempdir().unwrap();
    let zip = home.path().join("a.zip");
    write_zip(&zip, &vec![]);
    assert!(run("7zz", &["t", "-bd", zip.to_str().unwrap()]).contains("Everything is Ok"));
}

#[test]
fn a_file_of_more_than_4_gib_is_read_by_both_tools() {
    const LEN: u64 = (4 << 30) + 12_345;
    let home = tempfile::tempdir().unwrap();
    let zip = home.path().join("a.zip");
    let mut packer = packer(&zip, LEN);
    let path = TreePath::parse("zeros").unwrap();
    let entry = Entry { path, kind: EntryKind::File { len: LEN }, mode: 0o644, mtime_s: 0, mtime_ns: 0 };
    packer.entry(&entry, &mut io::repeat(0).take(LEN)).unwrap();
    packer.finish().unwrap();
    let zip = zip.to_str().unwrap();
    assert!(run("7zz", &["t", "-bd", zip]).contains("Everything is Ok"));
    assert_eq!(length_of("bsdtar", &["-xOf", zip, "zeros"]), LEN);
}

/// How many bytes a tool writes.
fn length_of(program: &str, arguments: &[&str]) -> u64 {
    let command = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn();
    let mut child = command.unwrap_or_else(|error| missing(program, &error));
    let len = io::copy(child.stdout.as_mut().unwrap(), &mut io::sink()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
    len
}
