//! Runs the planner over time: what a policy will keep, cost and guarantee. Pure.
