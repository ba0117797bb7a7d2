//! Suite: policy.
