//! POST `/system/scale-function/{name}` and GET `/system/scaling/{name}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tidegate_api::ScaleServiceRequest;
use tidegate_core::Replicas;

use super::request::{Asked, Name, Place, read_body};
use super::{accepted, finish, json};
use crate::Gateway;
use crate::error::ManageError;

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
    // Deployed by whomever: the scale loop knows what the table has.
    gateway.table.learn(&gateway.provider.get(&function).await?);
    let scaling = Arc::clone(&gateway.scaling);
    let asked = async move { Ok(scaling.scale(&function, Replicas::new(wanted)).await?) };
    finish(&gateway, asked).await?;
    Ok(accepted())
}

/// Why the count is what it is; with `why-not=N` also why it is not N.
pub(super) async fn explain(
    State(gateway): State<Arc<Gateway>>,
    Name(name): Name,
    place: Place,
    asked: Asked,
) -> Result<Response, ManageError> {
    let function = place.function(&name, "")?;
    let why_not = match asked.get("why-not") {
        "" => None,
        text => Some(text.parse().map(Replicas::new).map_err(|_| {
            ManageError::bad(format!("why-not={text:?} is no count; use a whole number"))
        })?),
    };
    gateway.scaling.explain(&function, why_not).await.map(json).ok_or(ManageError::Nothing)
}
