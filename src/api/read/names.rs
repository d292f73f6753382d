//! The names and ids in paths.

use uuid::Uuid;

use super::{super::ApiError, named};
use crate::{
    domain::{ApplicationName, PartitionId, ServiceName},
    ops::Target,
};

/// The application that a path names, without `fabric:/`.
pub(in crate::api) fn application_name(id: &str) -> Result<ApplicationName, ApiError> {
    named(ApplicationName::parse(&format!("fabric:/{id}")), "applicationId")
}

/// The service that a path names, without `fabric:/`.
pub(in crate::api) fn service_name(id: &str) -> Result<ServiceName, ApiError> {
    named(ServiceName::parse(&format!("fabric:/{id}")), "serviceId")
}

/// An application as what a request is about.
pub(in crate::api) fn application(id: &str) -> Result<Target, ApiError> {
    application_name(id).map(Target::Application)
}

/// A service as what a request is about.
pub(in crate::api) fn service(id: &str) -> Result<Target, ApiError> {
    service_name(id).map(Target::Service)
}

/// A partition as what a request is about.
pub(in crate::api) fn partition(id: Uuid) -> Target {
    Target::Partition(PartitionId(id))
}
