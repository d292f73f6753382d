use super::{ApplicationName, ServiceName};

/// What the configuration says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// The application it belongs to.
    pub application: ApplicationName,
    /// Whether it holds state.
    pub kind: ServiceKind,
    /// Whether that state is on disk: only then there is something to back up.
    pub persisted: bool,
    /// The version of its manifest, written into every backup.
    pub manifest_version: String,
}

/// Whether a service holds state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// It does.
    Stateful,
    /// It does not: there is nothing to back up.
    Stateless,
}
