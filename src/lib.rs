//! fabric-backup takes consistent, verified backups of stateful partitions and restores them, behind Service Fabric's
//! Backup Restore REST API. The floors of the house and what may import what: `docs/ARCHITECTURE.md`.

pub mod api;
pub mod app;
pub mod archive;
pub mod chain;
pub mod client;
pub mod clock;
pub mod disk;
pub mod domain;
pub mod engine;
pub mod job;
pub mod ledger;
pub mod ops;
pub mod policy;
pub mod reconcile;
pub mod retention;
pub mod source;
pub mod spool;
pub mod storage;
