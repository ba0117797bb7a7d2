//! Suite: faults.
