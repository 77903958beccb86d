//! Handlers of what anyone may read: the API's description, the pages of the codes, and where to find them.

use serde::Serialize;

use crate::{
    Api,
    answer::{Answer, Outcome},
    call::Incoming,
    openapi::openapi,
    problems::{Problem, page},
};

/// Where to begin.
#[derive(Serialize)]
struct Index {
    name: &'static str,
    profile: &'static str,
    openapi: String,
    errors: String,
}

/// Points to the API's description.
pub(crate) async fn index(api: Api, _incoming: Incoming) -> Outcome {
    let settings = api.settings();
    let profile = if settings.development {
        "development"
    } else {
        "production"
    };
    let (openapi, errors) = (
        format!("{}/openapi.json", settings.api_origin),
        format!("{}/docs/errors", settings.api_origin),
    );
    Ok(Answer::json(
        200,
        &Index {
            name: "Coffer",
            profile,
            openapi,
            errors,
        },
    ))
}

/// The API's description.
pub(crate) async fn openapi_document(api: Api, _incoming: Incoming) -> Outcome {
    let made = || openapi(&api.settings().api_origin).into();
    Ok(Answer::bytes(200, api.0.openapi.get_or_init(made).clone()))
}

/// The pages of all codes.
pub(crate) async fn error_list(_api: Api, _incoming: Incoming) -> Outcome {
    Ok(Answer::response(page::list_page()))
}

/// The page of a code.
pub(crate) async fn error_page(api: Api, incoming: Incoming) -> Outcome {
    page::page_of(&incoming.name, &api.settings().api_origin)
        .map(Answer::response)
        .ok_or_else(|| Problem::not_found("error code").into())
}
