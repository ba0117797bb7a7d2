//! The one integration-test binary: linking is the slow part, so every suite is a module of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers, too")]

mod world;

mod apply;
mod architecture;
mod artifact;
mod bad_input;
mod catalog;
mod catalog_rebuild;
mod cli;
mod cli_format;
mod crash;
mod demo;
mod disaster;
mod drift;
mod drill;
mod engine;
mod engine_archive;
mod engine_faults;
mod examples;
mod explain;
mod export;
mod faults;
mod findings;
mod forecast;
mod github;
mod github_action;
mod hazards;
mod import;
mod least_rights;
mod live;
mod logs;
mod markdown;
mod plan;
mod plan_marks;
mod policy;
mod policy_fix;
mod policy_format;
mod policy_schema;
mod render;
mod restore;
mod retention;
mod runners;
mod schedule;
mod schemas;
mod secrets;
mod seeds;
mod signals;
mod sim;
mod store;
mod store_faults;
mod trial;
