//! Who serves: threads of the gateway's own, or the runtime it was started on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::world::{World, constant, read_until, replica, status, within};

#[tokio::test]
async fn without_threads_the_callers_runtime_serves() {
    let world = World::with(|config| config.threads = 0).await;
    world.table.upsert(&status("f", &[constant("here").await]));
    assert_eq!(world.get("/function/f").await.body, "here");
    assert_eq!(world.get("/nowhere").await.status, 404);
    world.shutdown.cancel();
    within(world.served).await.expect("no panic").expect("it ended well");
}

#[tokio::test]
async fn each_thread_keeps_a_connection_to_the_replica() {
    let world = World::with(|config| config.threads = 3).await;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let address = replica(move |mut peer| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            while peer.head().await.is_some() {
                peer.answer("ok").await;
            }
        }
    })
    .await;
    world.table.upsert(&status("f", &[address]));
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(world.connect().await);
    }
    for _ in 0..4 {
        for client in &mut clients {
            let request = b"GET /function/f HTTP/1.1\r\nhost: x\r\n\r\n";
            client.write_all(request).await.expect("it reads");
            read_until(client, "\r\n\r\nok").await;
        }
    }
    assert_eq!(made.load(Ordering::SeqCst), 3);
}
