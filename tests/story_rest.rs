//! The whole HTTP interface as an OpenFaaS client of our own sees it: status, headers and body of each route
//! of the running program, good and bad. What is expected is OpenFaaS's, where `docs/api.md` names no choice
//! of ours.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

#[path = "story_rest/calls.rs"]
mod calls;
#[path = "story_rest/client.rs"]
mod client;
#[path = "story_rest/deployments.rs"]
mod deployments;
#[path = "story_rest/doors.rs"]
mod doors;
#[path = "story_rest/logs.rs"]
mod logs;
#[path = "story_rest/scaling.rs"]
mod scaling;
#[path = "story_rest/series.rs"]
mod series;
#[path = "story_rest/stores.rs"]
mod stores;
