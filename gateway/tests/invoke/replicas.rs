//! Which replica gets a call, what happens when it fails, and when there is another attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_provider::Phase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::world::{
    Answer, World, constant, get, limited, listen, read_to_end, replica, settled, status, within,
};

/// A replica that reads a request of `read` bytes at least and closes without an answer.
async fn closing(calls: Arc<AtomicUsize>) -> SocketAddr {
    replica(move |mut peer| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            peer.head().await;
        }
    })
    .await
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    listen().await.local_addr().expect("it was bound")
}

const POST: &str =
    "POST /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_replica_that_refuses_costs_no_call() {
    let world = World::new().await;
    let entry = world.table.upsert(&status("f", &[nobody().await, constant("ok").await]));
    for _ in 0..20 {
        let answer = Answer::parse(&world.raw(POST).await);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    assert_eq!(entry.load(world.clock.now()).map(|load| load.in_flight), Some(0));
}

#[tokio::test]
async fn a_function_whose_only_replica_refuses_is_served_by_the_next_one() {
    let world = World::new().await;
    let entry = world.table.upsert(&status("f", &[nobody().await]));
    let call = async { world.get("/function/f").await };
    let mend = async {
        settled(&world, &entry, 0, 1).await;
        let mut status = status("f", &[constant("late").await]);
        status.replicas[0].id = tidegate_provider::ReplicaId::new("f-new");
        world.table.upsert(&status);
    };
    let (answer, ()) = within(async { tokio::join!(call, mend) }).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "late"));
}

#[tokio::test]
async fn a_replica_that_refuses_for_good_is_502() {
    let world = World::with(|config| {
        config.connect_timeout = Duration::from_millis(150);
        config.wake_timeout = Duration::from_millis(100);
    })
    .await;
    world.table.upsert(&status("f", &[nobody().await]));
    let answer = world.get("/function/f").await;
    // In quarantine it is no replica to wait for, so either limit may be the first.
    assert!([502, 504].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_call_is_tried_again_only_where_that_is_safe() {
    let cases = [
        ("GET /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 3),
        ("DELETE /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 3),
        // It may have been done, and doing it twice is not the same.
        (
            "POST /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            1,
        ),
        // Its body has left us.
        (
            "PUT /function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
            1,
        ),
    ];
    for (request, attempts) in cases {
        let world = World::new().await;
        let calls = Arc::new(AtomicUsize::new(0));
        let entry = world.table.upsert(&status("f", &[closing(Arc::clone(&calls)).await]));
        let answer = Answer::parse(&world.raw(request).await);
        assert_eq!(answer.status, 502, "{request}");
        assert_eq!(answer.header("x-tidegate-error"), "upstream_broken");
        assert!(answer.body.contains("f-0") && answer.body.ends_with('\n'), "{}", answer.body);
        assert_eq!(calls.load(Ordering::SeqCst), attempts, "{request}");
        settled(&world, &entry, 0, 0).await;
    }
}

#[tokio::test]
async fn what_was_answered_in_part_is_not_tried_again() {
    let world = World::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let address = replica(move |mut peer| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 O").await;
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    assert_eq!(world.get("/function/f").await.status, 502);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502() {
    let world = World::new().await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        peer.write("220 mail.example ESMTP\r\n\r\n").await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    assert_eq!(world.get("/function/f").await.status, 502);
}

#[tokio::test]
async fn a_stale_pooled_connection_costs_no_call() {
    let world = World::new().await;
    // Closes after each answer without saying so.
    let address = replica(|mut peer| async move {
        peer.head().await;
        let mut body = [0; 2];
        peer.stream.read_exact(&mut body).await.expect("the body");
        peer.answer("ok").await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    for _ in 0..30 {
        assert_eq!(Answer::parse(&world.raw(POST).await).status, 200);
    }
}

#[tokio::test]
async fn a_replica_that_does_not_answer_in_time_is_504() {
    let world = World::with(|config| config.upstream_timeout = Duration::from_millis(50)).await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        let _ = peer.stream.read_u8().await;
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let answer = world.get("/function/f").await;
    assert_eq!((answer.status, answer.header("x-tidegate-error")), (504, "upstream_timeout"));
    assert!(answer.body.contains("50ms (upstream_timeout)"), "{}", answer.body);
}

#[tokio::test]
async fn the_limit_in_time_is_for_the_head_alone() {
    let world = World::with(|config| config.upstream_timeout = Duration::from_millis(60)).await;
    let address = replica(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            peer.write("x").await;
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    assert_eq!(world.get("/function/f").await.body, "xxx");
}

#[tokio::test]
async fn with_a_hard_limit_no_replica_gets_more_and_none_stays_idle_while_calls_wait() {
    const REPLICAS: usize = 4;
    const LIMIT: u32 = 2;
    const CALLS: usize = 60;
    let world = Arc::new(World::new().await);
    let go = Arc::new(Semaphore::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut addresses = Vec::new();
    for _ in 0..REPLICAS {
        let (go, most, here) = (Arc::clone(&go), Arc::clone(&most), Arc::new(AtomicUsize::new(0)));
        let address = replica(move |mut peer| {
            let (go, most, here) = (Arc::clone(&go), Arc::clone(&most), Arc::clone(&here));
            async move {
                while peer.head().await.is_some() {
                    most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    go.acquire().await.expect("it stays open").forget();
                    here.fetch_sub(1, Ordering::SeqCst);
                    peer.answer("ok").await;
                }
            }
        })
        .await;
        addresses.push(address);
    }
    let entry = world.table.upsert(&limited(status("f", &addresses), LIMIT));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.get("/function/f").await.status })
        })
        .collect();
    let slots = REPLICAS as u64 * u64::from(LIMIT);
    // After every answer all slots are taken again for as long as anyone waits.
    for left in (0..=CALLS as u64).rev().take(CALLS - slots as usize + 1) {
        settled(&world, &entry, slots, left - slots).await;
        go.add_permits(1);
    }
    go.add_permits(CALLS);
    for call in calls {
        assert_eq!(within(call).await.expect("no panic"), 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), LIMIT as usize);
    settled(&world, &entry, 0, 0).await;
    assert!(world.scrape().await.contains(
        "tidegate_function_wait_seconds_count{function_name=\"f.openfaas-fn\",reason=\"slot\"} 52"
    ));
}

#[tokio::test]
async fn a_replica_that_says_it_is_full_is_passed_over() {
    let world = World::new().await;
    let full = replica(|mut peer| async move {
        while peer.head().await.is_some() {
            peer.write("HTTP/1.1 429 Full\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    world.table.upsert(&limited(status("f", &[full, constant("ok").await]), 5));
    for _ in 0..5 {
        assert_eq!(world.get("/function/f").await.body, "ok");
    }
    // Without a limit of its replicas, 429 is an answer of the function like any other.
    world.table.upsert(&status("g", &[full]));
    assert_eq!(world.get("/function/g").await.status, 429);
}

#[tokio::test]
async fn a_victim_finishes_its_calls_and_gets_no_new_ones() {
    let mut world = World::new().await;
    let go = Arc::new(Semaphore::new(0));
    let slow = {
        let go = Arc::clone(&go);
        replica(move |mut peer| {
            let go = Arc::clone(&go);
            async move {
                peer.head().await;
                go.acquire().await.expect("it stays open").forget();
                peer.answer("slow").await;
            }
        })
        .await
    };
    let mut reported = status("f", &[slow]);
    let entry = world.table.upsert(&reported);
    let mut client = world.connect().await;
    client.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    settled(&world, &entry, 1, 0).await;
    while entry.draining() == 0 {
        // Both are equally new to the balancer but the busy one is the victim only when alone.
        assert_eq!(entry.pick_victims(1).len(), 1);
    }
    reported = status("f", &[slow, constant("quick").await]);
    world.table.upsert(&reported);
    assert_eq!((entry.available().get(), entry.draining()), (1, 1));
    assert!(entry.drained().is_empty());
    for _ in 0..10 {
        assert_eq!(world.get("/function/f").await.body, "quick");
    }
    // Whatever nudges there were so far are taken.
    while tokio::time::timeout(Duration::from_millis(20), world.nudges.next()).await.is_ok() {}
    go.add_permits(1);
    assert!(read_to_end(&mut client).await.ends_with("slow"));
    assert!(Arc::ptr_eq(&within(world.nudges.next()).await, &entry), "an empty victim nudges");
    assert_eq!(entry.drained(), [reported.replicas[0].id.clone()]);
    assert_eq!(entry.undrain(5), 0, "what is to be ended does not come back");
    reported.replicas[0].phase = Phase::Stopping;
    world.table.upsert(&reported);
    assert_eq!((entry.available().get(), entry.draining()), (1, 0));
}

#[tokio::test]
async fn the_newest_of_the_least_busy_go_first_and_come_back() {
    let world = World::new().await;
    let addresses = [constant("a").await, constant("b").await, constant("c").await];
    let entry = world.table.upsert(&status("f", &addresses));
    let victims: Vec<String> = entry.pick_victims(2).iter().map(ToString::to_string).collect();
    assert_eq!(victims, ["f-2", "f-1"]);
    let seen = entry.observe(world.clock.now());
    assert_eq!((seen.ready.get(), seen.draining.get()), (1, 2));
    assert_eq!(entry.undrain(1), 1);
    assert_eq!((entry.available().get(), entry.draining()), (2, 1));
}
