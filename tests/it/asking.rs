//! Many databases are asked without one waiting for another that does not answer.

use std::collections::BTreeMap;
use std::time::Duration;

use bkup::domain::{Instant, Name};
use bkup::engine::Connection;
use bkup::observe::{self, Pace, Sources};
use tokio::net::TcpListener;

/// A server that takes connections and says nothing.
async fn silent() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("a port")
}

#[tokio::test]
async fn databases_that_do_not_answer_keep_no_place_and_no_turn() {
    const SILENT: u32 = 10;
    const OTHERS: u32 = 30;
    let (dead, other) = (silent().await, silent().await);
    let url = |server: &TcpListener| format!("postgres://nobody@{}/x?sslmode=disable", server.local_addr().unwrap());
    let databases = (0..SILENT + OTHERS).map(|n| {
        // Those that are silent come first.
        let connection = Connection::parse(&url(if n < SILENT { &dead } else { &other })).expect("a url");
        let name: Name = format!("d{n:02}").parse().expect("a name");
        (name, Ok((connection.options(), None)))
    });
    let sources = Sources {
        catalog: Err("it is not asked".to_owned()),
        stores: BTreeMap::new(),
        databases: databases.collect(),
        renamed: BTreeMap::new(),
        configurations: BTreeMap::new(),
        settings: false,
    };
    let now = || -> Instant { "2026-03-01T00:00:00Z".parse().expect("an instant") };
    for pace in [Pace::ALONE, Pace::BESIDE_WORK] {
        let all_but_silent = async {
            for _ in 0..OTHERS {
                // Hung up on: that database is unreachable, and the next has its turn.
                drop(other.accept().await.expect("a connection"));
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(8), all_but_silent);
        tokio::select! {
            asked = asked => asked.expect("some were not asked"),
            _ = observe::look_at_servers(&sources, pace, std::future::pending(), &now) => panic!("the silent ones answered"),
        }
    }
}
