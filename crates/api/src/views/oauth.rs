//! What OAuth's endpoints answer, as its standards name it.

use coffer_core::{
    Timestamp,
    id::{AccessTokenId, AccountId, ApiKeyId},
};
use coffer_crypto::SecretBytes;
use coffer_engine::AccessToken;

use crate::{
    oauth::{ClientAuthentication, GrantType, assertion_algorithms, audiences, scopes},
    shape::object,
};

object! {
    /// A token, shown this once (RFC 6749, 5.1).
    pub(crate) struct AccessTokenView as "AccessToken" {
        /// To be sent as Authorization: Bearer.
        access_token: String,
        /// Bearer.
        token_type: &'static str,
        /// How many seconds it lasts.
        expires_in: i64,
        /// What it may do.
        scope: String,
    }
}

object! {
    /// What a token may do (RFC 7662, 2.2).
    pub(crate) struct IntrospectionView as "Introspection" {
        /// Whether it works, for the account and mode of the key that asks. Of one that does not, nothing else is told.
        active: bool,
        /// What it may do now: what it was issued for, and its key may.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// The key that it was issued to.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<ApiKeyId>,
        /// Bearer.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_type: Option<&'static str>,
        /// When it ends, in seconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<i64>,
        /// When it was issued, in seconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        iat: Option<i64>,
        /// The account.
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<AccountId>,
        /// Who issued it.
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<String>,
        /// Its id, which the record names.
        #[serde(skip_serializing_if = "Option::is_none")]
        jti: Option<AccessTokenId>,
    }
}

object! {
    /// An error of an OAuth endpoint (RFC 6749, 5.2).
    pub(crate) struct OAuthErrorView as "OAuthError" {
        /// The word to branch on.
        error: &'static str,
        /// What to do next.
        error_description: String,
        /// The address of a page about it.
        error_uri: String,
    }
}

object! {
    /// What the authorization server can do (RFC 8414, 2).
    pub(crate) struct AuthorizationServerView as "AuthorizationServer" {
        /// Its name: the address of the API.
        issuer: String,
        /// Where tokens are issued.
        token_endpoint: String,
        /// How clients prove there that they are.
        token_endpoint_auth_methods_supported: Vec<ClientAuthentication>,
        /// How assertions can be signed there (private_key_jwt).
        token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
        /// How tokens can be asked for.
        grant_types_supported: Vec<GrantType>,
        /// None: nobody signs in on a page.
        response_types_supported: Vec<String>,
        /// What can be asked for. Each can be limited to one object: payments:write:pay_….
        scopes_supported: Vec<String>,
        /// Where tokens are revoked.
        revocation_endpoint: String,
        /// How clients prove there that they are.
        revocation_endpoint_auth_methods_supported: Vec<ClientAuthentication>,
        /// How assertions can be signed there.
        revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
        /// Where tokens are looked at.
        introspection_endpoint: String,
        /// How clients prove there that they are.
        introspection_endpoint_auth_methods_supported: Vec<ClientAuthentication>,
        /// How assertions can be signed there.
        introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    }
}

const BEARER: &str = "Bearer";

impl AccessTokenView {
    /// A token that was just issued, and its text.
    pub(crate) fn of(token: &AccessToken, text: &SecretBytes) -> Self {
        Self {
            // Exposed to be shown to the client that it was issued to.
            access_token: String::from_utf8_lossy(text.expose()).into_owned(),
            token_type: BEARER,
            expires_in: token.claims.lifetime.as_seconds(),
            scope: token.scope.to_string(),
        }
    }
}

impl IntrospectionView {
    /// Of a token that works.
    pub(crate) fn of(token: AccessToken, issuer: &str) -> Self {
        let AccessToken {
            claims,
            place,
            scope,
        } = token;
        let seconds = |time: Timestamp| Some(time.as_seconds());
        Self {
            active: true,
            scope: Some(scope.to_string()).filter(|scope| !scope.is_empty()),
            client_id: Some(claims.key),
            token_type: Some(BEARER),
            exp: seconds(claims.expires()),
            iat: seconds(claims.issued()),
            sub: Some(place.account),
            iss: Some(issuer.to_owned()),
            jti: Some(claims.id),
        }
    }

    /// Of everything else.
    pub(crate) const fn inactive() -> Self {
        Self {
            active: false,
            scope: None,
            client_id: None,
            token_type: None,
            exp: None,
            iat: None,
            sub: None,
            iss: None,
            jti: None,
        }
    }
}

impl AuthorizationServerView {
    /// Of the API at this origin.
    pub(crate) fn at(origin: &str) -> Self {
        let at = |path: &str| format!("{origin}{path}");
        let [issuer, token_endpoint] = audiences(origin);
        let methods = || ClientAuthentication::ALL.to_vec();
        Self {
            issuer,
            token_endpoint,
            token_endpoint_auth_methods_supported: methods(),
            token_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
            grant_types_supported: GrantType::ALL.to_vec(),
            response_types_supported: Vec::new(),
            scopes_supported: scopes(),
            revocation_endpoint: at("/oauth/revoke"),
            revocation_endpoint_auth_methods_supported: methods(),
            revocation_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
            introspection_endpoint: at("/oauth/introspect"),
            introspection_endpoint_auth_methods_supported: methods(),
            introspection_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
        }
    }
}
