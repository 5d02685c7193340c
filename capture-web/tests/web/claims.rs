//! Claims of tasks: a holder that was too slow changes nothing, and what is over goes.

use std::time::Duration;

use capture_web::database::{Database, Engine, NewTask, Source, State};

use crate::{place::Place, server::until};

const LONG: Duration = Duration::from_secs(600);
/// It has lapsed when the next statement runs.
const LAPSED: Duration = Duration::ZERO;

async fn queued(database: &Database, id: &str) {
    let new = NewTask {
        id: id.to_owned(),
        owner: "anna".to_owned(),
        name: "a.pcap".to_owned(),
        source: Source::Upload,
    };
    assert!(database.reserve(&new, 100, LONG).await.unwrap());
    let names = ["a.pcap".to_owned()];
    assert!(database.submit(id, "a.pcap", 10, &names).await.unwrap());
}

#[tokio::test]
async fn a_holder_that_was_too_slow_changes_nothing_over_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::Sqlite(directory.path().join("web.sqlite"));
    fenced(&Database::open(&engine).await.unwrap()).await;
}

#[tokio::test]
async fn a_holder_that_was_too_slow_changes_nothing_over_postgresql() {
    let Some(place) = Place::shared().await else {
        return;
    };
    let url = place.postgres.as_ref().unwrap().url();
    let engine = Engine::Postgres(Box::new(url.parse().unwrap()));
    let database = Database::open(&engine).await.unwrap();
    fenced(&database).await;
    database.close().await;
}

async fn fenced(database: &Database) {
    queued(database, "one").await;
    let slow = database.claim("slow", LAPSED).await.unwrap().unwrap();
    let mut quick = None;
    until("the lease has lapsed", async || {
        quick = database.claim("quick", LONG).await.unwrap();
        quick.is_some()
    })
    .await;
    let quick = quick.unwrap();
    assert_eq!((&*quick.id, quick.attempt, quick.failures), ("one", 2, 1));
    assert!(database.claim("other", LONG).await.unwrap().is_none());
    let late = slow.attempt;
    assert!(!database.heartbeat("one", late, (1, 1), LONG).await.unwrap());
    assert!(!database.complete("one", late, "{}", LONG).await.unwrap());
    assert!(!database.fail("one", late, "{}", LONG).await.unwrap());
    assert!(!database.release("one", late, true).await.unwrap());
    assert!(
        database
            .heartbeat("one", quick.attempt, (5, 7), LONG)
            .await
            .unwrap()
    );
    let task = database.task("one").await.unwrap().unwrap();
    assert_eq!(
        (task.state, task.packets, task.read_bytes),
        (State::Running, 5, 7)
    );
    assert!(
        database
            .complete("one", quick.attempt, "{}", LONG)
            .await
            .unwrap()
    );
    assert!(
        !database
            .complete("one", quick.attempt, "{}", LONG)
            .await
            .unwrap(),
        "once"
    );

    // A removed task cannot be completed, and is there until its files are removed.
    queued(database, "two").await;
    let held = database.claim("quick", LONG).await.unwrap().unwrap();
    assert!(database.begin_removal("two").await.unwrap());
    assert!(
        !database
            .complete("two", held.attempt, "{}", LONG)
            .await
            .unwrap()
    );
    assert!(database.task("two").await.unwrap().is_none());
    assert_eq!(database.expired().await.unwrap(), ["two"]);
    database.finish_removal("two").await.unwrap();
    assert!(database.fate("two").await.unwrap().is_none());

    // A report past its time, and an upload whose server was lost.
    queued(database, "three").await;
    let held = database.claim("quick", LONG).await.unwrap().unwrap();
    assert!(
        database
            .complete("three", held.attempt, "{}", LAPSED)
            .await
            .unwrap()
    );
    let broken = NewTask {
        id: "four".to_owned(),
        owner: "anna".to_owned(),
        name: "b.pcap".to_owned(),
        source: Source::Upload,
    };
    assert!(database.reserve(&broken, 100, LAPSED).await.unwrap());
    until("both have to go", async || {
        database.expired().await.unwrap() == ["four", "three"]
    })
    .await;
    assert!(!database.submit("four", "b.pcap", 1, &[]).await.unwrap());
}

#[tokio::test]
async fn no_more_tasks_wait_than_may_however_many_arrive_at_once() {
    let Some(place) = Place::shared().await else {
        return;
    };
    let url = place.postgres.as_ref().unwrap().url();
    let engine = Engine::Postgres(Box::new(url.parse().unwrap()));
    let database = Database::open(&engine).await.unwrap();
    let reserved = (0..40).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            let new = NewTask {
                id: number.to_string(),
                owner: "anna".to_owned(),
                name: "a.pcap".to_owned(),
                source: Source::Upload,
            };
            database.reserve(&new, 5, LONG).await.unwrap()
        })
    });
    let mut accepted = 0;
    for one in reserved.collect::<Vec<_>>() {
        accepted += u32::from(one.await.unwrap());
    }
    assert_eq!(accepted, 5);
    database.close().await;
}
