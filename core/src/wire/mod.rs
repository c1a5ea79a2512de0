//! Bytes and messages: lines, the JSON-RPC envelope, and the few bodies the machine must read.

pub(crate) mod bodies;
pub mod frame;
pub(crate) mod id;
mod integer;
mod json;
pub(crate) mod lines;
mod members;
pub mod message;
pub mod params;
mod revision;
mod violation;

pub use self::{
    id::Id,
    json::RawJson,
    lines::{LineTooLong, Lines},
    message::{Malformed, Message, read, split_batch},
    params::ParamsError,
    revision::{Era, Revision},
    violation::Violation,
};
