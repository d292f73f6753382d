//! Writes one file into a storage as one object, for `scripts/bench-storage`, which takes the time.
//!
//!     put smb UNC-PATH PORT USER FILE      with the password in BENCH_SECRET
//!     put azure CONTAINER FILE             with the connection string in BENCH_CONNECTION
//!     put local DIRECTORY FILE

#![expect(clippy::unwrap_used, reason = "what fails here ends the run")]

use std::{env, fs::File, io::Read, path::PathBuf};

use fabric_backup::{
    clock::Clock,
    domain::{AzureBlob, Credentials, FileShare, Secret, StorageSpec},
    storage::{SmbSettings, Storage, StoreSettings, Stores},
};

const PART: usize = 8 << 20;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["smb", path, port, user, file] => put(&share(path, port.parse().unwrap(), user), file).await,
        ["azure", container, file] => put(&container_of(container), file).await,
        ["local", directory, file] => put(&directory_of(directory), file).await,
        // What cargo itself adds, and nothing else.
        [] | ["--bench"] => println!("run by scripts/bench-storage"),
        other => panic!("{other:?} is not understood"),
    }
}

fn open(settings: StoreSettings, spec: &StorageSpec) -> Storage {
    Stores::new(settings, Clock::system()).open(spec).unwrap()
}

fn share(path: &str, port: u16, user: &str) -> Storage {
    let smb = SmbSettings { ports: [("127.0.0.1".to_owned(), port)].into(), ..SmbSettings::default() };
    let password = Secret::new(env::var("BENCH_SECRET").unwrap());
    let primary = Some(Credentials { user: user.to_owned(), password });
    let share = FileShare { path: path.to_owned(), primary, secondary: None };
    open(StoreSettings { smb, ..StoreSettings::default() }, &StorageSpec::FileShare(share))
}

fn container_of(name: &str) -> Storage {
    let connection_string = Secret::new(env::var("BENCH_CONNECTION").unwrap());
    let blob = AzureBlob { connection_string, container: name.to_owned() };
    open(StoreSettings::default(), &StorageSpec::AzureBlob(blob))
}

fn directory_of(path: &str) -> Storage {
    let share = FileShare { path: path.to_owned(), primary: None, secondary: None };
    let share_roots = vec![PathBuf::from(path)];
    open(StoreSettings { share_roots, ..StoreSettings::default() }, &StorageSpec::FileShare(share))
}

async fn put(storage: &Storage, file: &str) {
    let mut file = File::open(file).unwrap();
    let mut writer = storage.create("object").await.unwrap();
    loop {
        let mut part = Vec::with_capacity(PART);
        if file.by_ref().take(PART as u64).read_to_end(&mut part).unwrap() == 0 {
            return writer.finish().await.unwrap();
        }
        writer.write(part.into()).await.unwrap();
    }
}
