//! Names that mean harm, databases without tenants, tenants that go away meanwhile.

use crate::world::cluster::Major;
use crate::world::setup::{Place, Policy, Setup};

#[tokio::test]
async fn tenants_with_hostile_names_are_backed_up_as_everybody_else() {
    // 7 bytes of `tenant_` and 56 of the slug are all that a name can have.
    let longest = format!("{}é", "日本".repeat(9));
    assert_eq!(longest.len(), 56);
    let slugs = [
        "\"; DROP SCHEMA public CASCADE; --",
        "we%ird*[a]?",
        &longest,
        "new\nline",
        "\u{1b}[31m$(id)`id`",
        "..",
        "A",
        "a",
    ];
    let setup = Setup::start(Major::V17, Place::Folder, &slugs).await;
    let ran = setup.apply().exits(0);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "escapes pass: {}", ran.stdout);
    assert_eq!(setup.manifests().await.len(), slugs.len() + 2, "{:#?}", setup.manifests().await);
    for key in setup.keys().await {
        assert!(key.bytes().all(|b| b.is_ascii_graphic()), "{key:?}");
    }
    let list = setup.run(&["list", "--format", "json"]);
    for slug in slugs {
        let shown = serde_json::to_string(&format!("tenant={slug}")).unwrap();
        assert!(list.stdout.contains(&shown), "{shown} is not in {}", list.stdout);
        let one = setup.run(&["list", "--tenant", slug, "--format", "json"]).json();
        assert_eq!(one["backups"].as_array().map(Vec::len), Some(1), "{slug:?}: {one}");
    }
    for args in [&["list"][..], &["status"], &["plan"], &["plan", "--format", "json"]] {
        let ran = setup.run(args).exits(0);
        assert!(!ran.stdout.contains('\u{1b}'), "{args:?}: {}", ran.stdout);
    }
    assert_eq!(setup.cluster.ask("app", "SELECT count(*) FROM public.tenants").await.unwrap(), slugs.len().to_string());
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_database_without_tenants_converges() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &[]).await;
    let _ = setup.first();
    setup.assert_converges().await;
    setup.now("2026-03-03T03:10:00Z");
    let _ = setup.apply().success();
    setup.assert_converges().await;
    setup.cluster.tenant("app", "first").await;
    let _ = setup.apply().success();
    assert!(setup.manifests().await.iter().any(|key| key.contains("tenant=first")));
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_tenant_that_was_dropped_since_the_plan_fails_alone() {
    let setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex", "initech"]).await;
    let _ = setup.run(&["plan", "--out", "plan.json"]).success();
    setup.cluster.exec("app", "DROP SCHEMA tenant_globex CASCADE").await;
    let ran = setup.run(&["apply", "plan.json"]).exits(5);
    assert!(ran.stdout.contains("globex"), "{}", ran.stdout);
    let manifests = setup.manifests().await;
    assert_eq!(manifests.len(), 4, "{manifests:#?}");
    assert!(!manifests.iter().any(|key| key.contains("globex")), "{manifests:#?}");
    let _ = setup.apply().success();
    setup.assert_converges().await;
    setup.assert_whole().await;
}

#[tokio::test]
async fn a_tenant_that_is_gone_keeps_its_backups_under_the_rules() {
    let mut setup = Setup::start(Major::V17, Place::Folder, &["acme", "globex"]).await;
    setup.policy(&Policy { retention: "  short: { last: 2 }\n".to_owned(), ..Policy::default() });
    let _ = setup.first();
    setup
        .cluster
        .exec("app", "DROP SCHEMA tenant_globex CASCADE; DELETE FROM public.tenants WHERE slug = 'globex'")
        .await;
    for day in 3..=8 {
        setup.now(&format!("2026-03-{day:02}T03:10:00Z"));
        let _ = setup.apply().success();
    }
    let manifests = setup.manifests().await;
    assert_eq!(manifests.iter().filter(|key| key.contains("tenant=globex")).count(), 1, "{manifests:#?}");
    setup.assert_converges().await;
    setup.assert_whole().await;
}
