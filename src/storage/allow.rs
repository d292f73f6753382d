//! Which hosts a caller may name: those that the operator means, never the networks where machines find their secrets.
//!
//! A name is judged twice: as it is written, before anything is contacted, and by the addresses that it turns out to
//! have, when it is connected to.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Where Azure keeps blobs: in every cloud that it documents, and with the zones that newer accounts have in their names.
const AZURE: [&str; 6] = [
    "*.blob.core.windows.net",
    "*.blob.storage.azure.net",
    "*.blob.core.chinacloudapi.cn",
    "*.blob.core.usgovcloudapi.net",
    "*.blob.core.cloudapi.de",
    "*.blob.core.microsoft.scloud",
];
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// One line of such a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// A host of that name.
    Name(String),
    /// Every host below that name.
    Below(String),
    /// Every address that begins with so many bits of this one.
    Network(IpAddr, u8),
}

/// What is no such pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name, *. and a host name, an IP address, or a network such as 10.1.0.0/16")]
pub struct HostPatternError;

/// The hosts that requests may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList {
    patterns: Vec<HostPattern>,
    mentioned: BTreeSet<String>,
}

/// Why a host may not be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// No pattern covers it.
    Unlisted,
    /// Whatever the patterns are.
    Always,
}

impl Default for AllowList {
    /// Azure and this machine.
    fn default() -> Self {
        let usual = AZURE.iter().chain(&LOOPBACK).filter_map(|text| text.parse().ok());
        Self::of(usual.collect())
    }
}

impl AllowList {
    /// These alone.
    pub fn of(patterns: Vec<HostPattern>) -> Self {
        Self { patterns, mentioned: BTreeSet::new() }
    }

    /// Also this one, which the operator has named elsewhere.
    pub fn mention(&mut self, host: &str) {
        self.mentioned.insert(plain(host));
    }

    pub(super) fn check(&self, host: &str) -> Result<(), Forbidden> {
        let host = plain(host);
        if host.parse().is_ok_and(is_never_allowed) {
            return Err(Forbidden::Always);
        }
        let listed = self.mentioned.contains(&host) || covers(&self.patterns, &host);
        if listed { Ok(()) } else { Err(Forbidden::Unlisted) }
    }
}

/// Whether one of `patterns` covers the host.
pub(super) fn covers(patterns: &[HostPattern], host: &str) -> bool {
    let host = plain(host);
    patterns.iter().any(|pattern| pattern.covers(&host))
}

/// The host of a URL without the brackets of an IPv6 address.
pub(super) fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => plain(&host.to_string()),
        None => String::new(),
    }
}

/// In one spelling: lower case, without the dot that ends a whole name.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

impl HostPattern {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => host == name,
            Self::Below(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Self::Network(network, bits) => host.parse().is_ok_and(|address| starts_alike(*network, address, *bits)),
        }
    }
}

fn starts_alike(network: IpAddr, address: IpAddr, bits: u8) -> bool {
    let differ = match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(bits)
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let text = plain(text);
        let (address, bits) =
            text.split_once('/').map_or((text.as_str(), None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).map_err(|_| HostPatternError)?;
            return if bits <= most { Ok(Self::Network(address, bits)) } else { Err(HostPatternError) };
        }
        match text.strip_prefix("*.") {
            Some(name) if is_name(name) => Ok(Self::Below(name.to_owned())),
            None if is_name(&text) => Ok(Self::Name(text)),
            _ => Err(HostPatternError),
        }
    }
}

fn is_name(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    text.split('.').all(part)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Network(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// Link-local addresses, where clouds keep their metadata services, those of such services elsewhere, and what no host has.
fn is_never_allowed(address: IpAddr) -> bool {
    const AZURE_HOST: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const ORACLE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 192);
    const AMAZON: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => {
            let metadata = [AZURE_HOST, ALIBABA, ORACLE].contains(&v4);
            metadata || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => match inside(v6) {
            Some(v4) => is_never_allowed(v4.into()),
            None => v6 == AMAZON || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
        },
    }
}

/// The IPv4 address that an IPv6 address leads to: written as one, or behind a translator.
fn inside(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b] = v6.segments();
    let translated = v6.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]);
    let v4 = || Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b));
    v6.to_ipv4_mapped().or_else(|| translated.then(v4))
}

/// A name whose address no setting allows.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name leads to {0}, an address of a link-local network or a metadata service, where no store is looked for"
)]
pub(super) struct ForbiddenAddress(IpAddr);

/// Looks names up as the system does, and refuses what no setting allows.
#[derive(Debug)]
pub(super) struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(judged(found)?.into_iter()) as Addrs)
        })
    }
}

/// A name with one bad address is bad, whichever would be tried first.
pub(super) fn judged(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ForbiddenAddress> {
    match found.iter().map(SocketAddr::ip).find(|address| is_never_allowed(*address)) {
        Some(address) => Err(ForbiddenAddress(address)),
        None => Ok(found),
    }
}

#[cfg(test)]
#[path = "allow_tests.rs"]
mod tests;
