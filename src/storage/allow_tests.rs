use super::{AllowList, Forbidden, HostPattern, covers, judged};

fn pattern(text: &str) -> HostPattern {
    text.parse().unwrap()
}

#[test]
fn azure_in_every_cloud_and_this_machine_may_be_named_and_nothing_else() {
    let usual = AllowList::default();
    for host in [
        "acc.blob.core.windows.net",
        "ACC.Blob.Core.Windows.Net.",
        "acc.z37.blob.storage.azure.net",
        "acc.blob.core.chinacloudapi.cn",
        "acc.blob.core.usgovcloudapi.net",
        "acc.blob.core.cloudapi.de",
        "acc.privatelink.blob.core.windows.net",
        "localhost",
        "127.0.0.1",
        "127.8.9.10",
        "::1",
    ] {
        assert_eq!(usual.check(host), Ok(()), "{host}");
    }
    for host in [
        "blob.core.windows.net",
        "acc.blob.core.windows.net.evil.example",
        "evilblob.core.windows.net",
        ".blob.core.windows.net",
        "acc.queue.core.windows.net",
        "minio.example",
        "10.0.0.1",
        "128.0.0.1",
        "::2",
        "",
    ] {
        assert_eq!(usual.check(host), Err(Forbidden::Unlisted), "{host}");
    }
}

#[test]
fn networks_of_metadata_services_may_never_be_named_however_they_are_spelt() {
    let patterns = ["0.0.0.0/0", "::/0"].map(pattern).to_vec();
    let mut everything = AllowList::of(patterns);
    everything.mention("169.254.169.254");
    for host in [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "febf::1",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
    ] {
        assert_eq!(everything.check(host), Err(Forbidden::Always), "{host}");
    }
    for host in ["169.253.1.1", "10.0.0.1", "fec0::1", "::ffff:10.0.0.1"] {
        assert_eq!(everything.check(host), Ok(()), "{host}");
    }
}

#[test]
fn a_name_that_leads_there_is_refused_whatever_other_addresses_it_has() {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let good = addresses(&["52.1.2.3:0", "[2603::1]:0"]);
    assert_eq!(judged(good.clone()).unwrap(), good);
    let refused = judged(addresses(&["52.1.2.3:0", "169.254.169.254:0"])).unwrap_err();
    assert!(refused.to_string().contains("169.254.169.254"), "{refused}");
}

#[test]
fn what_the_operator_lists_takes_the_place_of_the_usual_and_what_he_mentions_is_added() {
    let mut own = AllowList::of(["*.storage.example", "10.1.0.0/16", "[2001:db8::]/32", "Nas"].map(pattern).to_vec());
    for host in ["a.storage.example", "10.1.255.1", "2001:db8:1::1", "nas"] {
        assert_eq!(own.check(host), Ok(()), "{host}");
    }
    for host in ["storage.example", "10.2.0.1", "2001:db9::1", "acc.blob.core.windows.net", "127.0.0.1"] {
        assert_eq!(own.check(host), Err(Forbidden::Unlisted), "{host}");
    }
    own.mention("ACC.blob.core.windows.net");
    assert_eq!(own.check("acc.blob.core.windows.net"), Ok(()));
}

#[test]
fn what_is_no_pattern_is_refused_and_one_prints_as_it_is_written() {
    for text in
        ["", "*", "*.", "a b", "https://a.example", "a.example:443", "10.0.0.0/33", "*.a.*", "a..b", "10.0.0.0/x"]
    {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
    for text in ["a.example", "*.a.example", "10.0.0.0/8", "::1/128"] {
        assert_eq!(pattern(text).to_string(), text);
    }
    assert!(!covers(&[], "a.example"));
}
