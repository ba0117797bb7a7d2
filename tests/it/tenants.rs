//! Suite: tenants on real servers: finding them whatever they are called, what a bad answer does, the life of one that
//! goes, comes back and is erased, also where a bucket keeps versions.

mod discovery;
mod erasure;
mod gone;
mod versions;

use crate::life::settled;

/// Compares with a snapshot, ids and instants taken out.
fn snap(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, settled(text));
    });
}
