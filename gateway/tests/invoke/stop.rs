//! Stopping: no accepted call is dropped, and nothing holds the process for ever.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{
    World, constant, get, read_to_end, read_until, replica, settled, status, within,
};

#[tokio::test]
async fn calls_under_way_finish_and_idle_connections_are_closed() {
    let world = World::new().await;
    let (go, going) = tokio::sync::watch::channel(false);
    let slow = replica(move |mut peer| {
        let mut going = going.clone();
        async move {
            while peer.head().await.is_some() {
                going.wait_for(|go| *go).await.expect("it stays open");
                peer.answer("done").await;
            }
        }
    })
    .await;
    let entry = world.table.upsert(&status("slow", &[slow]));
    world.table.upsert(&status("quick", &[constant("x").await]));
    let mut idle = world.connect().await;
    idle.write_all(b"GET /function/quick HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
    read_until(&mut idle, "\r\n\r\nx").await;
    let mut busy = world.connect().await;
    busy.write_all(b"GET /function/slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
    settled(&world, &entry, 1, 0).await;

    world.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "", "it is closed without a word");
    within(async { while TcpStream::connect(world.address).await.is_ok() {} }).await;
    assert!(!world.served.is_finished());
    go.send(true).expect("the replica waits");
    let answer = read_to_end(&mut busy).await;
    assert!(answer.ends_with("done") && answer.contains("connection: close\r\n"), "{answer}");
    within(world.served).await.expect("no panic").expect("it ended well");
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut() {
    let world = World::with(|config| config.shutdown_grace = Duration::from_millis(50)).await;
    let hold = replica(|mut peer| async move {
        let head = peer.head().await.expect("a head");
        if !head.all("upgrade").is_empty() {
            peer.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
                .await;
        }
        while peer.head().await.is_some() {}
    })
    .await;
    let entry = world.table.upsert(&status("f", &[hold]));
    let mut call = world.connect().await;
    call.write_all(get("/function/f").as_bytes()).await.expect("it reads");
    let mut socket = world.connect().await;
    socket
        .write_all(
            b"GET /function/f HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        )
        .await
        .expect("it reads");
    read_until(&mut socket, "\r\n\r\n").await;
    settled(&world, &entry, 2, 0).await;
    world.shutdown.cancel();
    within(world.served).await.expect("no panic").expect("it ended");
    assert_eq!(read_to_end(&mut call).await, "");
    assert_eq!(read_to_end(&mut socket).await, "");
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_is_closed() {
    let world = World::with(|config| config.header_timeout = Duration::from_millis(50)).await;
    let mut client = world.connect().await;
    client.write_all(b"GET /function/f HTTP/1.1\r\nhost").await.expect("it reads");
    let answer = read_to_end(&mut client).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
