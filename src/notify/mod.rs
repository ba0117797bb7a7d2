//! Sinks for reports and findings: webhook, chat, mail, metrics file.
//!
//! Nothing is here yet: policies with `channels` or `notify` are refused as not supported yet. A sink gets rendered text
//! and must never fail the run it reports on.
