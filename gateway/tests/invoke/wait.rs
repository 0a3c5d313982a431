//! The waiting room, the nudges, and the way to zero and back.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Replicas;
use tidegate_provider::Phase;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::world::{
    Answer, World, constant, deployed, get, read_to_end, replica, settled, status, within,
};

#[tokio::test]
async fn a_call_at_zero_waits_nudges_once_and_says_that_it_waited() {
    let mut world = World::new().await;
    let entry = world.table.upsert(&status("f", &[]));
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.connect().await;
        client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
        clients.push(client);
    }
    assert!(Arc::ptr_eq(&within(world.nudges.next()).await, &entry));
    settled(&world, &entry, 0, 20).await;
    // However many wait, no more than the one nudge that was queued while the first was taken.
    let mut more = 0;
    while tokio::time::timeout(Duration::from_millis(50), world.nudges.next()).await.is_ok() {
        more += 1;
    }
    assert!(more <= 1, "{more}");
    world.table.upsert(&status("f", &[constant("up").await]));
    for mut client in clients {
        let answer = Answer::parse(&read_to_end(&mut client).await);
        assert_eq!((answer.status, answer.body.as_str()), (200, "up"));
        assert!(answer.header("x-tidegate-waited").parse::<f64>().expect("seconds") > 0.0);
    }
    let metrics = world.scrape().await;
    assert!(
        metrics
            .contains("tidegate_function_cold_starts_total{function_name=\"f.openfaas-fn\"} 20\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn waiters_are_let_in_in_the_order_they_came() {
    let world = World::new().await;
    let entry = world.table.upsert(&status("f", &[]));
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = world.connect().await;
        client.write_all(get(&format!("/function/f/{number}")).as_bytes()).await.expect("it reads");
        clients.push(client);
        settled(&world, &entry, 0, number + 1).await;
    }
    let (sender, mut received) = mpsc::unbounded_channel();
    let address = replica(move |mut peer| {
        let sender = sender.clone();
        async move {
            while let Some(head) = peer.head().await {
                let _ = sender.send(head.line);
                peer.answer("ok").await;
            }
        }
    })
    .await;
    world.table.upsert(&crate::world::limited(status("f", &[address]), 1));
    for number in 0..8 {
        let line = within(received.recv()).await.expect("a call");
        assert_eq!(line, format!("GET /{number} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_full_room_is_503_and_a_client_that_leaves_makes_room() {
    let world = World::with(|config| config.room_size = 2).await;
    let entry = world.table.upsert(&status("f", &[]));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = world.connect().await;
        client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
        clients.push(client);
    }
    settled(&world, &entry, 0, 2).await;
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (503, "room_full"));
    assert_eq!(answer.header("retry-after"), "1");
    drop(clients.pop());
    settled(&world, &entry, 0, 1).await;
    let mut third = world.connect().await;
    third.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    settled(&world, &entry, 0, 2).await;
}

#[tokio::test]
async fn a_wait_has_its_limit() {
    let world = World::with(|config| config.wake_timeout = Duration::from_millis(50)).await;
    world.table.upsert(&status("f", &[]));
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (504, "wake_timeout"));
    assert!(answer.body.contains("50ms (wake_timeout)"), "{}", answer.body);
}

#[tokio::test]
async fn a_failed_start_and_a_removal_are_told_to_all_who_wait() {
    let world = World::new().await;
    for removed in [false, true] {
        let entry = world.table.upsert(&status("f", &[]));
        let mut client = world.connect().await;
        client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
        settled(&world, &entry, 0, 1).await;
        if removed {
            world.table.remove(entry.id());
        } else {
            entry.fail_waiters("exit code 1: no such file");
        }
        let answer = Answer::parse(&read_to_end(&mut client).await);
        if removed {
            assert_eq!(answer.status, 404);
        } else {
            assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
            assert!(
                answer.body.contains("could not be started; `tidegate describe f"),
                "{answer:?}"
            );
            assert!(!answer.body.contains("no such file"), "that is for operators");
        }
    }
}

#[tokio::test]
async fn a_function_deployed_again_is_another_one() {
    let mut world = World::new().await;
    let earlier = world.table.upsert(&status("f", &[]));
    earlier.set_desired(Replicas::new(7));
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    settled(&world, &earlier, 0, 1).await;
    within(world.nudges.next()).await;
    // A watch may tell of the two in one breath.
    let mut again = status("f", &[constant("later").await]);
    again.created += Duration::from_millis(1);
    let later = world.table.upsert(&again);
    assert_eq!(later.desired(), Replicas::new(1), "not what was asked of the earlier one");
    assert_eq!(Answer::parse(&read_to_end(&mut client).await).status, 404);
    within(world.nudges.next()).await;
    assert!(world.table.remove_entry(&earlier).is_none(), "it is out already");
    assert_eq!(world.get("/function/f").await.body, "later");
    assert!(world.table.remove_entry(&later).is_some());
    assert_eq!(world.get("/function/f").await.status, 404);
}

#[tokio::test]
async fn the_way_to_zero_is_closed_to_calls_and_cancelled_by_them() {
    let world = World::new().await;
    let mut reported = status("f", &[constant("one").await]);
    let entry = world.table.upsert(&reported);
    let ticket = entry.begin_zero().expect("nobody is inside");
    assert!(entry.begin_zero().is_none(), "one way to zero at a time");
    assert_eq!(world.get("/function/f").await.body, "one");
    assert!(!ticket.issue(), "the call has cancelled it");

    drop(entry.begin_zero().expect("open again"));
    assert_eq!(world.get("/function/f").await.body, "one");

    assert!(entry.begin_zero().expect("nobody is inside").issue());
    assert_eq!(entry.available(), Replicas::ZERO);
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    settled(&world, &entry, 0, 1).await;
    // What was reported before zero was issued is void, even if it comes late.
    world.table.upsert(&reported);
    settled(&world, &entry, 0, 1).await;
    reported.replicas[0].phase = Phase::Frozen;
    world.table.upsert(&reported);
    entry.reopen();
    settled(&world, &entry, 0, 1).await;
    reported.replicas[0].phase = Phase::Ready;
    world.table.upsert(&reported);
    let answer = Answer::parse(&read_to_end(&mut client).await);
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    assert!(!answer.header("x-tidegate-waited").is_empty());
}

#[tokio::test]
async fn a_zero_that_failed_leaves_the_replicas_serving() {
    let world = World::new().await;
    let entry = world.table.upsert(&status("f", &[constant("one").await]));
    assert!(entry.begin_zero().expect("nobody is inside").issue());
    entry.zero_failed();
    assert_eq!(world.get("/function/f").await.body, "one");
}

#[tokio::test]
async fn the_arrival_that_crosses_capacity_nudges_once_for_each_replica_it_wants() {
    let mut world = World::new().await;
    let hold = replica(|mut peer| async move {
        peer.head().await;
        let _ = peer.read_until("never").await;
    })
    .await;
    let reported = deployed(status("f", &[hold]), |one| {
        for (label, value) in
            [("type", "capacity"), ("target", "5"), ("max", "8"), ("target-proportion", "1")]
        {
            one.labels.insert(format!("com.openfaas.scale.{label}"), value.to_owned());
        }
    });
    let entry = world.table.upsert(&reported);
    let mut clients = Vec::new();
    let mut nudges = Vec::new();
    for number in 1..=11 {
        let mut client = world.connect().await;
        client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
        clients.push(client);
        settled(&world, &entry, number, 0).await;
        while tokio::time::timeout(Duration::from_millis(20), world.nudges.next()).await.is_ok() {
            nudges.push(number);
        }
    }
    // The first arrival after rest; the sixth wants a second replica; the eleventh a third.
    assert_eq!(nudges, [1, 6, 11]);
    entry.set_desired(Replicas::new(8));
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    settled(&world, &entry, 12, 0).await;
    let quiet = tokio::time::timeout(Duration::from_millis(50), world.nudges.next()).await;
    assert!(quiet.is_err(), "at the maximum there is nothing to ask for");
}

#[tokio::test]
async fn a_function_at_rest_nudges_with_its_next_call() {
    let mut world = World::new().await;
    let entry = world.table.upsert(&status("f", &[constant("x").await]));
    for _ in 0..3 {
        assert_eq!(world.get("/function/f").await.status, 200);
        assert!(Arc::ptr_eq(&within(world.nudges.next()).await, &entry));
        assert_eq!(world.get("/function/f").await.status, 200);
        let quiet = tokio::time::timeout(Duration::from_millis(20), world.nudges.next()).await;
        assert!(quiet.is_err(), "the loop ticks it already");
        settled(&world, &entry, 0, 0).await;
        assert!(entry.rest());
    }
}
