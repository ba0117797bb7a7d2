//! Runs the planner over time: what a policy will keep, cost and guarantee. Pure: the instants it visits are parameters.
//!
//! Nothing is here yet; the room is kept so that nothing else grows into it. It may never read a clock or a store.
