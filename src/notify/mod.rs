//! Sinks for reports and findings.
