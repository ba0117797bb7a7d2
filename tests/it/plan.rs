//! Suite: plan.
