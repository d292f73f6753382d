//! The three lines that the program prints when it serves: where, where to look, and one command to try.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde_json::json;

use super::settings::{HostedPartition, Settings};

/// Prints the three lines for a service that listens on `listening`.
pub(super) fn announce(out: &mut impl io::Write, settings: &Settings, listening: SocketAddr) -> io::Result<()> {
    let base = format!("http://{}", reachable(listening));
    writeln!(out, "fabric-backup listens on {base}")?;
    writeln!(out, "Swagger UI: {base}/swagger-ui/")?;
    writeln!(out, "{}", first_backup(settings, &base))?;
    out.flush()
}

/// A wildcard address is no address to connect to.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn first_backup(settings: &Settings, base: &str) -> String {
    let Some(HostedPartition { partition, .. }) = chosen(settings) else {
        return "No partition with persisted state is configured: there is nothing to back up.".to_owned();
    };
    let body = match (&partition.default_storage, settings.file_share.share_roots.first()) {
        (None, Some(root)) => {
            json!({"BackupStorage": {"StorageKind": "FileShare", "Path": root.display().to_string()}})
        }
        _ => json!({}),
    };
    let body = body.to_string().replace('\'', r"'\''");
    format!(
        "Take a backup: curl -i -X POST '{base}/Partitions/{}/$/Backup?api-version=6.4' \
         -H 'Content-Type: application/json' -d '{body}'",
        partition.id
    )
}

/// A partition that can be backed up, better one that needs no storage in the request.
fn chosen(settings: &Settings) -> Option<&HostedPartition> {
    let mut candidates = settings.partitions.iter().filter(|hosted| hosted.partition.persisted);
    let first = candidates.clone().next();
    candidates.find(|hosted| hosted.partition.default_storage.is_some()).or(first)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Settings, announce};
    use crate::app::quickstart;

    fn lines(settings: &Settings, listening: &str) -> Vec<String> {
        let mut out = Vec::new();
        announce(&mut out, settings, listening.parse().unwrap()).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn three_lines_say_where_it_listens_where_swagger_ui_is_and_how_to_take_a_backup() {
        let settings = quickstart::settings(PathBuf::from("/data"), None);
        let lines = lines(&settings, "127.0.0.1:19080");
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "fabric-backup listens on http://127.0.0.1:19080");
        assert_eq!(lines[1], "Swagger UI: http://127.0.0.1:19080/swagger-ui/");
        assert!(lines[2].contains(
            "'http://127.0.0.1:19080/Partitions/1daae3f5-7fd6-42e9-b1ba-8c05f873994d/$/Backup?api-version=6.4'"
        ));
        assert!(lines[2].ends_with("-d '{}'"));
    }

    #[test]
    fn a_wildcard_address_is_announced_as_one_that_can_be_reached() {
        let settings = quickstart::settings(PathBuf::from("/data"), None);
        assert!(lines(&settings, "0.0.0.0:80")[0].ends_with("http://127.0.0.1:80"));
        assert!(lines(&settings, "[::]:80")[0].ends_with("http://[::1]:80"));
    }

    #[test]
    fn without_a_default_storage_the_command_names_one() {
        let mut settings = quickstart::settings(PathBuf::from("/da'ta"), None);
        settings.partitions[0].partition.default_storage = None;
        let body = r#"-d '{"BackupStorage":{"StorageKind":"FileShare","Path":"/da'\''ta/shares"}}'"#;
        assert!(lines(&settings, "127.0.0.1:1")[2].ends_with(body));
    }

    #[test]
    fn without_a_partition_there_are_still_three_lines() {
        let mut settings = quickstart::settings(PathBuf::from("/data"), None);
        settings.partitions.clear();
        assert!(lines(&settings, "127.0.0.1:1")[2].starts_with("No partition"));
    }
}
