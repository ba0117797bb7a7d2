//! The one integration-test binary: linking is the slow part, so every suite is a module of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers, too")]

mod world;

mod apply;
mod architecture;
mod artifact;
mod bad_input;
mod catalog;
mod cli;
mod cli_format;
mod crash;
mod demo;
mod disaster;
mod drill;
mod engine;
mod engine_archive;
mod engine_faults;
mod examples;
mod explain;
mod faults;
mod findings;
mod forecast;
mod hazards;
mod import;
mod live;
mod plan;
mod plan_marks;
mod policy;
mod policy_fix;
mod policy_format;
mod policy_schema;
mod render;
mod restore;
mod retention;
mod schedule;
mod schemas;
mod secrets;
mod seeds;
mod signals;
mod store;
mod store_faults;
mod trial;
