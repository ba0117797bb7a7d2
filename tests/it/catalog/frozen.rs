//! A catalog whose server freezes, or whose host is gone without a word.

use std::time::Duration;

use bkup::catalog::{CatalogError, LEASE, Ledger, Writer};

use super::build::other_action;
use crate::world::cluster::{Cluster, Major};
use crate::world::freezing::Freezing;

#[tokio::test]
async fn a_catalog_that_freezes_is_unreachable_after_a_while_and_not_waited_for_for_ever() {
    let cluster = Cluster::start(Major::V17).await;
    let direct = Writer::with(cluster.connection("postgres").options());
    direct.create("lineage", None).await.unwrap();
    for words in ["INTO bkup.claims", "clock_timestamp"] {
        let frozen = Freezing::at(&cluster, words);
        let writer = Writer::open(&frozen.url("postgres")).unwrap();
        let asked = tokio::spawn(async move {
            let ledger: &dyn Ledger = &writer;
            let read = async { ledger.reader().clock().await.map(|_| ()) };
            let claimed = async { ledger.claim_many(&[other_action("drill", "1")], "a", LEASE, 1).await.map(|_| ()) };
            if words == "clock_timestamp" { read.await } else { claimed.await }
        });
        frozen.until_frozen().await;
        // From here on nothing happens but that time goes by, which it does at once.
        tokio::time::pause();
        let answer = tokio::time::timeout(Duration::from_secs(3600), asked).await.expect("it ends").unwrap();
        tokio::time::resume();
        let error = answer.expect_err("nobody answered");
        assert!(error.is_transient(), "{error}");
        assert!(
            matches!(&error, CatalogError::Unreachable { reason } if reason.contains("stopped answering")),
            "{words}: {error}"
        );
    }
    let held = direct.claim(other_action("drill", "1"), "b", LEASE).await.unwrap();
    assert!(matches!(held, bkup::catalog::ClaimOutcome::Claimed(_)), "{held:?}");
}
