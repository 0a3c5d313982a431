//! The management API through a real gateway on loopback, over the in-memory provider: status, headers
//! and body of every route as OpenFaaS's clients know them.

#[path = "system/access.rs"]
mod access;
#[path = "system/failures.rs"]
mod failures;
#[path = "system/functions.rs"]
mod functions;
#[path = "system/info.rs"]
mod info;
#[path = "system/logs.rs"]
mod logs;
#[path = "system/namespaces.rs"]
mod namespaces;
#[path = "system/refusals.rs"]
mod refusals;
#[path = "system/scaling.rs"]
mod scaling;
#[path = "system/secrets.rs"]
mod secrets;
#[path = "system/world.rs"]
mod world;
