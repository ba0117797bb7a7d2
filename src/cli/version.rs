//! What this build is.

use std::sync::LazyLock;

use crate::domain::{MANIFEST_FORMAT, PLAN_FORMAT};

/// The version.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The version and how it was built.
static LONG: LazyLock<String> = LazyLock::new(|| {
    // A packager sets BKUP_BUILD_COMMIT; a build script that asks git would make every commit a rebuild.
    let commit = option_env!("BKUP_BUILD_COMMIT").unwrap_or("unknown");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "{SHORT}\ncommit: {commit}\nbuild: {profile}, {}-{}\nformats: plan {PLAN_FORMAT}, manifest {MANIFEST_FORMAT}",
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
});

/// Returns the version and how it was built.
pub(super) fn long() -> &'static str {
    &LONG
}
