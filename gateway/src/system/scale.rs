//! POST `/system/scale-function/{name}` and GET `/system/scaling/{name}`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tidegate_api::ScaleServiceRequest;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::ProviderError;
use tokio::time::sleep;

use super::request::{Name, Place, read_body};
use super::{accepted, finish, json};
use crate::error::ManageError;
use crate::{Gateway, ScaleError};

/// How long the scale loop may take to hear of a function that is deployed already.
const HEARING: Duration = Duration::from_secs(5);
/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(5);

/// What is asked of the scale loop.
#[derive(Copy, Clone)]
pub(super) enum Wish {
    /// By an operator.
    Count(Replicas),
    /// By an alert that began or ended.
    Alert { firing: bool },
}

/// An operator wants a count; the scale loop brings it within the bounds.
pub(super) async fn write(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    place: Place,
    body: Body,
) -> Result<Response, ManageError> {
    let body = read_body(&gateway, body).await?;
    let request = ScaleServiceRequest::from_json(&body).map_err(ManageError::bad)?;
    if !request.service_name.is_empty() && request.service_name != name {
        let said = &request.service_name;
        return Err(ManageError::bad(format!("the path names {name:?}, the body {said:?}")));
    }
    let function = place.function(&name, &request.namespace)?;
    let wanted =
        request.replicas.ok_or_else(|| ManageError::bad("the body has no \"replicas\""))?;
    let wanted = u32::try_from(wanted)
        .map_err(|_| ManageError::bad(format!("{wanted} replicas are more than 4294967295")))?;
    gateway.provider.get(&function).await?;
    let asker = Arc::clone(&gateway);
    let asked =
        async move { Ok(heard(&asker, &function, Wish::Count(Replicas::new(wanted))).await?) };
    finish(&gateway, asked).await?;
    Ok(accepted())
}

/// Asks the scale loop, which hears of a new function a moment after its deployment was answered: as long
/// as the provider has the function, the loop is asked again rather than the client told of a 404.
pub(super) async fn heard(
    gateway: &Gateway,
    function: &FunctionId,
    wish: Wish,
) -> Result<(), ScaleError> {
    let deadline = gateway.clock.now() + HEARING;
    loop {
        let answer = match wish {
            Wish::Count(to) => gateway.scaling.scale(function, to).await,
            Wish::Alert { firing } => gateway.scaling.alert(function, firing).await,
        };
        let unheard = matches!(answer, Err(ScaleError::Provider(ProviderError::NotDeployed(_))));
        if !unheard || gateway.clock.now() >= deadline {
            return answer;
        }
        gateway.provider.get(function).await?;
        sleep(PAUSE).await;
    }
}

/// Why the count is what it is.
pub(super) async fn explain(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    place: Place,
) -> Result<Response, ManageError> {
    let function = place.function(&name, "")?;
    gateway.scaling.explain(&function).await.map(json).ok_or(ManageError::Nothing)
}
