//! Suite: seeds.
