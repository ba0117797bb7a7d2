//! The `bkup` schema in PostgreSQL: migrations, queries, claims, the audit chain.
