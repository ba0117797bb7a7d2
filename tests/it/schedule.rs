//! Suite: schedule.
