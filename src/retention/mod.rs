//! Which backups are kept, and why: buckets, verdicts, floors, closure. Pure.
