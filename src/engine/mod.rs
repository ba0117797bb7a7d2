//! The PostgreSQL programs: found, started, watched, reaped; dump streams, restores and scratch servers.
