//! World: s3.
