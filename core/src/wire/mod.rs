//! Bytes and messages: lines, the JSON-RPC envelope, and the few bodies the machine must read.

mod json;
mod revision;

pub use self::{
    json::RawJson,
    revision::{Era, Revision},
};
