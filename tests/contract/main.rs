//! The contract on trial: what is written in openapi/, what is published, and what is served.

mod published;
