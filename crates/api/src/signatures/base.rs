//! The signature base of a request (RFC 9421, 2): a line for each component, and one for the parameters.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::HOST};
use zeroize::Zeroizing;

use super::{
    Wrong,
    claim::{Claim, INPUT, SIGNATURE},
};

/// Room for the lines of an ordinary request, made at once.
const ROOM: usize = 1024;

/// What of a request can be covered before its body is there.
#[derive(Clone, Copy)]
pub(crate) struct Head<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Uri,
    pub(crate) headers: &'r HeaderMap,
}

/// What was signed, if it was this request. It may hold the API key.
pub(super) fn base(head: Head<'_>, claim: &Claim) -> Result<Zeroizing<String>, Wrong> {
    let mut text = Zeroizing::new(String::with_capacity(ROOM));
    for name in &claim.components {
        text.push('"');
        text.push_str(name);
        text.push_str("\": ");
        if name.starts_with('@') {
            derived(head, name, &mut text)?;
        } else {
            field(head.headers, name, &mut text)?;
        }
        text.push('\n');
    }
    text.push_str("\"@signature-params\": ");
    text.push_str(&claim.params);
    Ok(text)
}

/// A derived component (2.2).
fn derived(head: Head<'_>, name: &str, text: &mut String) -> Result<(), Wrong> {
    match name {
        "@method" => text.push_str(head.method.as_str()),
        "@scheme" => text.push_str("https"),
        "@authority" => text.push_str(&authority(head)),
        "@path" => text.push_str(path(head.uri)),
        "@query" => push_query(head.uri, text),
        "@target-uri" => {
            text.push_str("https://");
            text.push_str(&authority(head));
            text.push_str(path(head.uri));
            if head.uri.query().is_some() {
                push_query(head.uri, text);
            }
        }
        _ => {
            return Err("Of the derived components, @method, @target-uri, @authority, @scheme, @path and @query can be covered.".into());
        }
    }
    Ok(())
}

/// The host, and the port when it is not 443 (2.2.3). The face has seen to it that a request names one host, and ours.
fn authority(head: Head<'_>) -> String {
    let named = head.uri.authority().map(http::uri::Authority::as_str);
    let header = || head.headers.get(HOST)?.to_str().ok();
    let mut host = named
        .or_else(header)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if let Some(bare) = host.strip_suffix(":443") {
        host.truncate(bare.len());
    }
    host
}

fn path(uri: &Uri) -> &str {
    if uri.path().is_empty() {
        "/"
    } else {
        uri.path()
    }
}

fn push_query(uri: &Uri, text: &mut String) {
    text.push('?');
    text.push_str(uri.query().unwrap_or_default());
}

/// A header (2.1): its lines, trimmed, as one value.
fn field(headers: &HeaderMap, name: &str, text: &mut String) -> Result<(), Wrong> {
    let absent = || Wrong::from("A header that the signature covers was not sent.");
    let known = HeaderName::from_bytes(name.as_bytes()).ok();
    let known = known
        .filter(|known| known.as_str() == name)
        .ok_or_else(absent)?;
    if known == INPUT || known == SIGNATURE {
        return Err("A signature does not cover its own headers.".into());
    }
    let mut lines = headers.get_all(known).iter();
    text.push_str(line(lines.next().ok_or_else(absent)?)?);
    for next in lines {
        text.push_str(", ");
        text.push_str(line(next)?);
    }
    Ok(())
}

fn line(value: &HeaderValue) -> Result<&str, Wrong> {
    let text = value
        .to_str()
        .map_err(|_| "A header that the signature covers is not ASCII.")?;
    Ok(text.trim_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> http::Request<()> {
        let mut request = http::Request::post("/foo?param=Value&Pet=dog");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn of(request: &http::Request<()>) -> Result<String, Wrong> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let head = Head {
            method,
            uri,
            headers,
        };
        base(head, &Claim::read(headers)?).map(|text| text.to_string())
    }

    const MORE: &str = ";created=1618884473;keyid=\"sigkey_00000000000000000000000000\";nonce=\"0123456789abcdef\"";

    /// The request of RFC 9421, B.2, with this signature input.
    fn test_request(covered: &str) -> http::Request<()> {
        let input = format!("sig={covered}{MORE}");
        request(&[
            ("host", "example.com"),
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("content-type", "application/json"),
            (
                "content-digest",
                "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
            ),
            ("content-length", "18"),
            ("signature-input", &input),
            ("signature", "sig=:AAAA:"),
        ])
    }

    /// RFC 9421, B.2.3, but for the parameters that are asked for here.
    #[test]
    fn the_base_is_the_one_of_rfc_9421() {
        let covered = "(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\")";
        let expected = format!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT
\"@method\": POST
\"@path\": /foo
\"@query\": ?param=Value&Pet=dog
\"@authority\": example.com
\"content-type\": application/json
\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
\"content-length\": 18
\"@signature-params\": {covered}{MORE}"
        );
        assert_eq!(of(&test_request(covered)).ok().unwrap(), expected);
    }

    /// RFC 9421, 2.1 and 2.2.2.
    #[test]
    fn a_target_is_absolute_and_a_header_one_value() {
        let mut one = test_request(
            "(\"@target-uri\" \"@scheme\" \"x-ows-header\" \"cache-control\" \"x-empty-header\")",
        );
        let headers = one.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("Example.COM:443"));
        for (name, value) in [
            ("x-ows-header", "  Leading and trailing whitespace.   "),
            ("cache-control", "max-age=60"),
            ("cache-control", "   must-revalidate"),
            ("x-empty-header", ""),
        ] {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let text = of(&one).ok().unwrap();
        let lines = "\"@target-uri\": https://example.com/foo?param=Value&Pet=dog
\"@scheme\": https
\"x-ows-header\": Leading and trailing whitespace.
\"cache-control\": max-age=60, must-revalidate
\"x-empty-header\": \n";
        assert!(text.starts_with(lines), "{text}");
        // Over HTTP/2 the target names the host.
        one.headers_mut().remove(HOST);
        *one.uri_mut() = Uri::from_static("https://Example.COM:443/foo?param=Value&Pet=dog");
        assert_eq!(of(&one).ok(), Some(text));
    }

    #[test]
    fn what_cannot_be_covered_is_refused() {
        for covered in [
            "(\"@status\")",
            "(\"@query-param\")",
            "(\"@query-param\";name=\"Pet\")",
            "(\"@request-target\")",
            "(\"x-absent\")",
            "(\"Date\")",
            "(\"date\" \"date\")",
            "(\"date\";sf)",
            "(date)",
            "(\"signature\")",
            "(\"signature-input\")",
            "(\"\")",
            "\"date\"",
            "(\"date\"",
        ] {
            assert!(of(&test_request(covered)).is_err(), "{covered}");
        }
        let many = format!("({})", "\"a\" ".repeat(40));
        assert!(of(&test_request(&many)).is_err());
    }
}
