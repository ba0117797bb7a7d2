//! World: cluster.
