//! Names of the annotations by which a function asks for what is ours.

/// Calls a second or minute of a function, such as `100/s`.
pub const RATE: &str = "com.tidegate.limit.rate";
/// Calls of a function that may come at once.
pub const BURST: &str = "com.tidegate.limit.burst";
/// Calls a second or minute of one client of a function.
pub const CLIENT_RATE: &str = "com.tidegate.limit.client-rate";
/// Calls of one client of a function that may come at once.
pub const CLIENT_BURST: &str = "com.tidegate.limit.client-burst";
/// When the image is asked for at the registry: `Always`, `IfNotPresent` or `Never`.
pub const PULL_POLICY: &str = "com.tidegate.image.pull-policy";
/// Lets programs run that are built for this machine's 32-bit relatives: `true` or `false`.
pub const ALLOW_32_BIT: &str = "com.tidegate.allow-32bit";
/// The folder that a local process is started in.
pub const DIRECTORY: &str = "com.tidegate.process.directory";

/// How all of them begin.
pub const PREFIX: &str = "com.tidegate.";
/// Each of them; others below [`PREFIX`] have no effect.
pub const ALL: [&str; 7] =
    [RATE, BURST, CLIENT_RATE, CLIENT_BURST, PULL_POLICY, ALLOW_32_BIT, DIRECTORY];
