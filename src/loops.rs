//! The loops: each looks at the whole state, moves it one step closer to the wanted one, and is turned
//! by a tick, a nudge or a deadline. A lost nudge costs one period, a doubled one nothing.

pub mod measure;
pub mod pressure;
pub mod scale;
pub mod watch;
