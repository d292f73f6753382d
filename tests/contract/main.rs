//! The contract on trial: what is written in openapi/, what is published, and what is served.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod edge;
mod examples;
mod harness;
mod published;
mod served;
