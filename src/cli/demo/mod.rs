//! `bkup demo`: a server, an application and a store of its own, and the story that is told with them. Everything that
//! bkup does in it is done by the real binary, started as a user would; only the server, the application's data and
//! the accident are the demo's own.

mod application;
mod environment;
mod narrator;
mod story;

pub(super) use environment::Making;
pub(super) use narrator::Narrator;
pub(super) use story::tell;
