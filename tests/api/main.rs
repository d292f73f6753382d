//! The API as its callers meet it: the real router over real use cases, jobs, ledger, storage and states, in one process.
//! Only the time is ours. `app` builds that process, `document` holds every answer against the served document.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod answer;
mod app;
mod backup;
mod cancel;
mod configuration;
mod control;
mod damage;
mod document;
mod enable;
mod errors;
mod health;
mod inventory;
mod list;
mod location;
mod not_built;
mod observed;
mod once;
mod policies;
mod policy_secrets;
mod policy_storage;
mod progress;
mod restart;
mod restore;
mod suspend;
mod validate;
mod verify;
mod watch;
mod world;
