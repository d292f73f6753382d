//! The contract on trial: what is written in openapi/, what is published, and what is served.

mod edge;
mod examples;
mod harness;
mod published;
mod served;
