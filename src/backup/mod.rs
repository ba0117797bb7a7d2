//! One backup execution.
