//! `tidegate scale NAME N`: asks for a count of replicas.
//!
//! The autoscaler goes on deciding afterwards: an asked count holds only as long as the load agrees.

use http::Method;
use tidegate_api::ScaleServiceRequest;

use super::Context;
use super::failure::Failure;

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which function
    name: String,
    /// How many replicas; 0 takes it to zero until the next call
    replicas: u32,
}

/// Asks the gateway for the count.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let function = context.function(&args.name)?;
    let body = ScaleServiceRequest {
        service_name: function.name().to_owned(),
        namespace: function.namespace().to_owned(),
        replicas: Some(args.replicas.into()),
    };
    let path = context.path_of("scale-function", &function);
    let action = format!("scale {function}");
    let answer = context.gateway()?.call(Method::POST, &path, Some(&body)).await?;
    answer.success(&action).map_err(Context::not_deployed)?;
    if context.output.is_json() {
        context.output.json(&body)?;
    }
    let spoken = Context::spoken(&function);
    context.output.done("Asked", &format!("for {} of {spoken}", replicas(args.replicas)));
    context.next(&format!("tidegate describe {spoken}"));
    Ok(())
}

/// `1 replica`, `2 replicas`.
pub fn replicas(count: u32) -> String {
    if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") }
}
