//! `tidegate version`: of this program, and of the gateway if one answers.

use serde_json::{Value, json};

use super::Context;
use super::failure::Failure;

/// Prints both versions. A gateway that cannot be asked is a note, not a failure.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let client = env!("CARGO_PKG_VERSION");
    let gateway = context.gateway()?;
    let info: Result<Value, Failure> =
        gateway.get("/system/info", "read the gateway's version").await;
    if context.output.is_json() {
        let info = info.ok();
        return context.output.json(&json!({ "client": client, "gateway": info }));
    }
    let mut fields = vec![("Client", client.to_owned())];
    match info {
        Ok(info) => {
            let text = |path: &str| info.pointer(path).and_then(Value::as_str).unwrap_or("unknown");
            fields.push(("Gateway", format!("{} ({})", text("/version/release"), gateway.url())));
            fields.push((
                "Provider",
                format!(
                    "{} {} ({})",
                    text("/provider/provider"),
                    text("/provider/version/release"),
                    text("/provider/orchestration")
                ),
            ));
        }
        Err(failure) => context.output.note(&format!("no version of the gateway: {failure}")),
    }
    context.output.fields(&fields)
}
