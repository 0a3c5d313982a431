//! Calls of functions through a real gateway on loopback, against real sockets as replicas.

#[path = "invoke/bodies.rs"]
mod bodies;
#[path = "invoke/door.rs"]
mod door;
#[path = "invoke/forward.rs"]
mod forward;
#[path = "invoke/measure.rs"]
mod measure;
#[path = "invoke/replicas.rs"]
mod replicas;
#[path = "invoke/stop.rs"]
mod stop;
#[path = "invoke/threads.rs"]
mod threads;
#[path = "invoke/wait.rs"]
mod wait;
#[path = "invoke/world.rs"]
mod world;
