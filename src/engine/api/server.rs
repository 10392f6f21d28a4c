//! Calls about the server itself (contract section 7).

use super::answers::json;
use super::call::Call;
use crate::engine::answer::Answer;
use crate::engine::context::Context;
use crate::engine::life::Life;
use crate::engine::refusal::Refusal;
use crate::wire::http::Response;

/// `GET /health`: 503 once the server shuts down, so that balancers send nobody any more.
pub fn health(context: &mut Context<'_>, _: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let status = match context.life {
        Life::Serving => 200,
        Life::Draining | Life::Stopped => 503,
    };
    Ok(Answer::Now(json(status, &context.health())))
}

/// `GET /api/websocket/stats`
pub fn websocket_stats(
    context: &mut Context<'_>,
    _: &Call<'_>,
) -> Result<Answer<Response>, Refusal> {
    Ok(Answer::Now(json(200, &context.websocket_stats())))
}

/// `GET /api/broadcaster/stats`
pub fn broadcaster_stats(
    context: &mut Context<'_>,
    _: &Call<'_>,
) -> Result<Answer<Response>, Refusal> {
    Ok(Answer::Now(json(200, &context.broadcaster_stats())))
}
