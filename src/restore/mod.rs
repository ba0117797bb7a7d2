//! Brings a backup back: into a scratch server, a new database, or a live one that lacks it.
