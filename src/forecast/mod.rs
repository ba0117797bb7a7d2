//! Runs the planner over time: what a policy will keep, cost and guarantee. Pure: the instants it visits are parameters.

mod world;

pub use world::{Amount, World};
