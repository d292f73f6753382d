//! How the stores are reached, as the configuration and the environment of the process say it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use url::Url;

use super::{
    fault::Fault,
    file::{self, At},
};
use crate::{
    domain::{Secret, words},
    storage::{
        AllowList, AzureSettings, Certificates, ClientCertificate, HostPattern, IdentityHost, IdentitySettings, Limits,
        Rates, SecretsSettings,
    },
};

pub(super) fn azure(written: &file::Stores, base: &Path) -> Result<AzureSettings, Fault> {
    Ok(AzureSettings {
        trusted: certificates(base, &written.ca_files)?,
        identities: identities(&written.managed_identity, base)?,
        secrets: secrets(&written.dsms, base)?,
        lowercase_containers: written.lowercase_containers,
    })
}

pub(super) fn rates(written: &file::Stores) -> Rates {
    Rates { node: written.max_bytes_per_second, store: written.max_bytes_per_second_per_store }
}

pub(super) fn limits(written: &file::Stores) -> Limits {
    Limits { calls: written.max_requests_per_store, bytes: written.max_bytes_in_flight_per_store }
}

/// The usual hosts unless others are listed.
pub(super) fn allow(written: &file::Stores) -> Result<AllowList, Fault> {
    written.allow.as_deref().map_or_else(|| Ok(AllowList::default()), |listed| patterns(listed).map(AllowList::of))
}

fn patterns(listed: &[At<String>]) -> Result<Vec<HostPattern>, Fault> {
    let pattern =
        |text: &At<String>| text.get().parse().map_err(|error| text.fault(format!("'{}' {error}", text.get())));
    listed.iter().map(pattern).collect()
}

fn secrets(written: &file::Dsms, base: &Path) -> Result<SecretsSettings, Fault> {
    let trusted = if written.ca_files.is_empty() { None } else { Some(certificates(base, &written.ca_files)?) };
    let certificate = written.client_certificate_file.as_ref();
    Ok(SecretsSettings {
        allow: patterns(&written.allow)?,
        certificate: certificate
            .map(|file| client_certificate(base, file, written.client_key_file.as_ref()))
            .transpose()?,
        trusted,
        bearer: written.bearer_token_file.as_ref().map(|file| base.join(file.get())),
    })
}

fn client_certificate(base: &Path, file: &At<PathBuf>, key: Option<&At<PathBuf>>) -> Result<ClientCertificate, Fault> {
    let key = key.map_or(Ok(String::new()), |key| read(base, key))?;
    ClientCertificate::from_pem(read(base, file)?.as_bytes(), key.as_bytes())
        .map_err(|error| file.fault(format!("'{}' cannot be used: {}", base.join(file.get()).display(), words(&error))))
}

fn certificates(base: &Path, files: &[At<PathBuf>]) -> Result<Certificates, Fault> {
    let mut all = Certificates::default();
    for file in files {
        all.add(certificates_in(base, file)?);
    }
    Ok(all)
}

fn certificates_in(base: &Path, file: &At<PathBuf>) -> Result<Certificates, Fault> {
    Certificates::from_pem(read(base, file)?.as_bytes())
        .map_err(|error| file.fault(format!("'{}' cannot be used: {}", base.join(file.get()).display(), words(&error))))
}

fn read(base: &Path, file: &At<PathBuf>) -> Result<String, Fault> {
    let path = base.join(file.get());
    fs::read_to_string(&path).map_err(|error| file.fault(format!("'{}' cannot be read: {error}", path.display())))
}

fn identities(written: &file::ManagedIdentity, base: &Path) -> Result<IdentitySettings, Fault> {
    let machine = written.machine_endpoint.as_ref().map(endpoint).transpose()?;
    let url = match &written.host_endpoint {
        Some(written) => Some(endpoint(written)?),
        None => env::var("IDENTITY_ENDPOINT").ok().and_then(|text| Url::parse(&text).ok()),
    };
    let header = match &written.host_header_file {
        Some(file) => Some(Secret::new(read(base, file)?.trim())),
        None => env::var("IDENTITY_HEADER").ok().map(Secret::new),
    };
    let service_fabric = env::var_os("IDENTITY_SERVER_THUMBPRINT").is_some();
    let host = url.zip(header).map(|(url, header)| IdentityHost { url, header, service_fabric });
    Ok(IdentitySettings { machine, host })
}

fn endpoint(written: &At<String>) -> Result<Url, Fault> {
    match Url::parse(written.get()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(written.fault("must be an http or https URL")),
    }
}
