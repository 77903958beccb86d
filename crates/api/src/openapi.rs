//! The OpenAPI 3.1 document, made from the table of routes and the shapes of what they take and yield.

use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder,
    Object, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder, Schema, ServerBuilder,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{AdditionalProperties, ArrayBuilder},
    security::{
        ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Scopes, SecurityRequirement,
        SecurityScheme,
    },
};

use crate::{
    gate::client::{CLIENT_ASSERTION, CLIENT_ASSERTION_TYPE, CLIENT_ID, CLIENT_SECRET},
    oauth,
    problems::ProblemView,
    query::Parameter,
    routes::{Content, RouteRow, Verb, routes},
    shape::{Component, Shape, text},
    views::{self, OAuthErrorView},
};

const KEY: &str = "api_key";
const TOKEN: &str = "access_token";
const CLIENT: &str = "client";
const ABOUT: &str = "A payment API that a company runs itself. Amounts are integers of minor units, times RFC 3339 in UTC. \
Every error is a problem document (RFC 9457) with a code and advice.";

/// The document of the API at this origin, as indented JSON.
#[must_use]
pub fn openapi(api_origin: &str) -> String {
    let mut text = serde_json::to_string_pretty(&document(api_origin)).unwrap_or_default();
    text.push('\n');
    text
}

fn document(api_origin: &str) -> OpenApi {
    let paths = routes().iter().fold(PathsBuilder::new(), |paths, row| {
        paths.path(
            row.path(),
            PathItem::new(method(row.verb()), operation(row)),
        )
    });
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Coffer")
                .version("1")
                .description(Some(ABOUT))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url(api_origin).build()]))
        .paths(paths.build())
        .components(Some(components(api_origin).build()))
        .build()
}

fn components(api_origin: &str) -> ComponentsBuilder {
    let http = |scheme| SecurityScheme::Http(Http::new(scheme));
    let scopes = oauth::scopes().into_iter().map(|scope| {
        let about = format!("What needs the permission {scope}.");
        (scope, about)
    });
    let flow = ClientCredentials::new(
        format!("{api_origin}/oauth/token"),
        Scopes::from_iter(scopes),
    );
    let tokens = OAuth2::new([Flow::ClientCredentials(flow)]);
    let start = ComponentsBuilder::new()
        .security_scheme(KEY, http(HttpAuthScheme::Bearer))
        .security_scheme(TOKEN, SecurityScheme::OAuth2(tokens))
        .security_scheme(CLIENT, http(HttpAuthScheme::Basic));
    let requests = routes().iter().filter_map(|row| {
        let takes = row.request()?;
        let object = (takes.object)();
        Some((
            takes.name,
            if row.of_oauth() {
                of_client(object)
            } else {
                object
            },
        ))
    });
    views::components()
        .into_iter()
        .chain(requests)
        .fold(start, |all, (name, object)| all.schema(name, object))
}

/// A form, with what a client sends that does not use HTTP Basic.
fn of_client(form: Object) -> Object {
    let of_key = [
        (CLIENT_ID, "The key's id, without HTTP Basic."),
        (CLIENT_SECRET, "The whole key, without HTTP Basic."),
        (
            CLIENT_ASSERTION,
            "What a signing key signed that stands for the key, in place of both (private_key_jwt).",
        ),
        (
            CLIENT_ASSERTION_TYPE,
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer, with client_assertion.",
        ),
    ];
    let builder =
        ObjectBuilder::from(form).additional_properties(None::<AdditionalProperties<Schema>>);
    of_key
        .into_iter()
        .fold(builder, |form, (name, about)| {
            form.property(name, text().description(Some(about)))
        })
        .build()
}

const fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
        Verb::Options => HttpMethod::Options,
    }
}

fn operation(row: &RouteRow) -> Operation {
    let start = OperationBuilder::new()
        .operation_id(Some(row.operation()))
        .summary(Some(row.summary().trim_end_matches('.')))
        .description(Some(described(row)))
        .tag(tag(row.path()))
        .securities(Some(security(row)));
    let parameters = parameters(row)
        .into_iter()
        .fold(start, OperationBuilder::parameter);
    let with_body = parameters.request_body(row.request().map(|takes| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(takes.name)))
            .build();
        let required = if (takes.object)().required.is_empty() {
            Required::False
        } else {
            Required::True
        };
        let form = "application/x-www-form-urlencoded";
        RequestBodyBuilder::new()
            .content(
                if row.of_oauth() {
                    form
                } else {
                    "application/json"
                },
                content,
            )
            .required(Some(required))
            .build()
    }));
    let successes = row.statuses().iter().fold(with_body, |operation, status| {
        operation.response(status.to_string(), success(row.content(), *status))
    });
    problems(row)
        .into_iter()
        .fold(successes, |operation, (status, about)| {
            let of_oauth = row.of_oauth();
            operation.response(status, problem(about, of_oauth))
        })
        .build()
}

fn described(row: &RouteRow) -> String {
    match row.permission() {
        Some(permission) => format!("{} Needs the permission {permission}.", row.summary()),
        None => row.summary().to_owned(),
    }
}

/// The first part of the path after the version.
fn tag(path: &'static str) -> &'static str {
    if path.contains("oauth") {
        return "oauth";
    }
    let below = path
        .strip_prefix("/v1/")
        .and_then(|below| below.split('/').next());
    below.unwrap_or("documents")
}

fn security(row: &RouteRow) -> Vec<SecurityRequirement> {
    let by = |scheme: &str| SecurityRequirement::new(scheme, Vec::<String>::new());
    if row.of_oauth() {
        // Or with the secret, or an assertion, in the form.
        return vec![by(CLIENT), SecurityRequirement::default()];
    }
    match (row.rights(), row.open_to_all()) {
        (Some(rights), false) => {
            let scopes = rights.permission.map(|permission| permission.to_string());
            vec![by(KEY), SecurityRequirement::new(TOKEN, scopes)]
        }
        (Some(_), true) => vec![by(KEY), SecurityRequirement::default()],
        (None, _) => vec![SecurityRequirement::default()],
    }
}

fn parameters(row: &RouteRow) -> Vec<ParameterBuilder> {
    let name = row
        .path()
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(name, _)| name);
    let in_path = name.map(|name| {
        let schema: RefOr<Schema> = text().pattern(Some("^[a-z0-9_]+$")).into();
        parameter(
            name,
            ParameterIn::Path,
            Required::True,
            "Which one.",
            schema,
        )
    });
    let in_header = row.idempotent().then(|| {
        let schema: RefOr<Schema> = text().pattern(Some("^[!-~]{1,255}$")).into();
        let about = "A text of your choice that makes a repetition of this request safe, such as a random UUID.";
        parameter("Idempotency-Key", ParameterIn::Header, Required::False, about, schema)
    });
    let in_query = row.query().iter().map(
        |Parameter {
             name,
             about,
             schema,
         }| { parameter(name, ParameterIn::Query, Required::False, about, schema()) },
    );
    in_path
        .into_iter()
        .chain(in_header)
        .chain(in_query)
        .collect()
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    about: &str,
    schema: RefOr<Schema>,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(schema))
}

fn success(content: Content, status: u16) -> ResponseBuilder {
    let about = match status {
        201 => "Made.",
        202 => "Not known yet: the status tells when it is.",
        204 => "Done.",
        _ => "Found or done.",
    };
    let answer = ResponseBuilder::new().description(about);
    let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
    match content {
        Content::Object(name) => {
            answer.content("application/json", json(Ref::from_schema_name(name).into()))
        }
        Content::List(name) => answer.content("application/json", json(list(name))),
        Content::Json => answer.content("application/json", json(ObjectBuilder::new().into())),
        Content::Export => answer
            .header("Link", HeaderBuilder::new().schema(Some(text())).description(Some(
                "The address of the next part, as rel=\"next\" (RFC 8288), unless this is the last.",
            )).build())
            .content("application/jsonl", json(text().into()))
            .content("text/csv", json(text().into())),
        Content::Page => answer.content("text/html", json(text().into())),
        Content::Empty => answer,
    }
}

/// A page of objects of this name.
fn list(name: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .property(
            "data",
            ArrayBuilder::new().items(Ref::from_schema_name(name)),
        )
        .property("has_more", bool::schema())
        .property(
            "next",
            text().description(Some(
                "Where the next page begins, if not after the last object of this one.",
            )),
        )
        .required("data")
        .required("has_more")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

fn problems(row: &RouteRow) -> Vec<(&'static str, &'static str)> {
    let of_key = [
        ("401", "The key is missing or does not work."),
        ("403", "The key may not do that."),
    ];
    let named = row
        .path()
        .contains('{')
        .then_some(("404", "There is no such object."));
    let others = [
        ("4XX", "The request cannot be done as it is."),
        ("5XX", "It cannot be done at the moment."),
    ];
    let of_key = match row.rights() {
        Some(_) => &of_key[..],
        // Whom a key's address, or a browser, keeps out is no client either.
        None if row.of_oauth() => &of_key[..1],
        None => &[],
    };
    let of_key = of_key.iter().copied();
    of_key.chain(named).chain(others).collect()
}

fn problem(about: &str, of_oauth: bool) -> ResponseBuilder {
    let of = |name| {
        let schema = Some(Ref::from_schema_name(name));
        ContentBuilder::new().schema(schema).build()
    };
    let answer = ResponseBuilder::new()
        .description(about)
        .content("application/problem+json", of(ProblemView::NAME));
    if of_oauth {
        answer.content("application/json", of(OAuthErrorView::NAME))
    } else {
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn parsed() -> Value {
        serde_json::from_str(&openapi("https://localhost:8443")).unwrap()
    }

    #[test]
    fn the_paths_of_the_document_are_the_routes() {
        let document = parsed();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                described.insert((
                    format!("{} {path}", method.to_uppercase()),
                    operation["operationId"].to_string(),
                ));
            }
        }
        let rows: Vec<_> = routes()
            .iter()
            .map(|row| (row.route().to_owned(), format!("\"{}\"", row.operation())))
            .collect();
        assert_eq!(described.len(), rows.len());
        assert!(rows.iter().all(|row| described.contains(row)));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = parsed();
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
        assert!(!text.contains("r#type"));
    }

    #[test]
    fn a_route_that_needs_a_key_says_so() {
        let document = parsed();
        for row in routes() {
            let operation = &document["paths"][row.path()][row.verb().as_str().to_lowercase()];
            let needs_key = operation["security"][0].get(KEY).is_some();
            assert_eq!(needs_key, row.rights().is_some(), "{}", row.route());
        }
    }
}
