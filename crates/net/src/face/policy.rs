//! What holds for the head of every request, over either version of HTTP, before the application sees it.

use http::{HeaderName, Method, Request, Version, header::HOST, uri::Authority};

use super::{
    fault::Fault,
    limits::{ADDRESS_BYTES_MAX, FIELDS_MAX, HEAD_BYTES_MAX},
};

/// What a field counts beside its letters (RFC 9113, 6.5.2).
const FIELD_BYTES: usize = 32;

/// Every method that a route can have.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Headers by which some frameworks let a POST be another method. A client that sends one means something that would not
/// happen.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Whether the application may see it.
pub(super) fn check<B>(request: &Request<B>, names: &[String]) -> Result<(), Fault> {
    if request.version() == Version::HTTP_2 {
        check_size(request)?;
    }
    // CONNECT names where it wants to go instead of a host.
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Fault::MethodUnknown);
    }
    check_host(request, names)?;
    if request
        .headers()
        .keys()
        .any(|name| METHOD_OVERRIDES.contains(name))
    {
        return Err(Fault::MethodOverride);
    }
    Ok(())
}

/// Over HTTP/1 this was measured before the head was read (`head.rs`).
fn check_size<B>(request: &Request<B>) -> Result<(), Fault> {
    let address = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let fields = request.headers();
    let size = |(name, value): (&HeaderName, &http::HeaderValue)| {
        name.as_str()
            .len()
            .saturating_add(value.len())
            .saturating_add(FIELD_BYTES)
    };
    let head = fields.iter().map(size).fold(address, usize::saturating_add);
    if address > ADDRESS_BYTES_MAX {
        Err(Fault::AddressTooLong)
    } else if head > HEAD_BYTES_MAX || fields.len() > FIELDS_MAX {
        Err(Fault::HeadTooLarge)
    } else {
        Ok(())
    }
}

/// Exactly one host, that is ours, however often it is named.
fn check_host<B>(request: &Request<B>, names: &[String]) -> Result<(), Fault> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().map(http::HeaderValue::as_bytes);
    let target = request.uri().authority().map(Authority::as_str);
    if hosts.next().is_some() {
        return Err(Fault::HostWrong);
    }
    let is_http_2 = request.version() == Version::HTTP_2;
    let named = match (header, target.map(str::as_bytes)) {
        (Some(header), Some(target)) if header.eq_ignore_ascii_case(target) => header,
        (Some(header), None) => header,
        // Over HTTP/1.1 the header must be there whatever the target says (RFC 9112, 3.2).
        (None, Some(target)) if is_http_2 => target,
        (Some(_) | None, Some(_)) | (None, None) => return Err(Fault::HostWrong),
    };
    let host = host_of(named).ok_or(Fault::HostWrong)?;
    if names
        .iter()
        .any(|name| name.as_bytes().eq_ignore_ascii_case(host))
    {
        Ok(())
    } else if is_http_2 {
        // A browser may try one connection for every name in its certificate.
        Err(Fault::Misdirected)
    } else {
        Err(Fault::HostWrong)
    }
}

/// The host of `host` or `host:port`. Ports are whatever a load balancer makes of them, as long as they are ports.
fn host_of(named: &[u8]) -> Option<&[u8]> {
    let colon = named.iter().rposition(|&byte| byte == b':');
    // The last colon of an IPv6 address stands inside its brackets.
    let colon = colon.filter(|_| !named.ends_with(b"]"));
    let Some((host, port)) = colon.and_then(|colon| named.split_at_checked(colon)) else {
        return Some(named);
    };
    let port = std::str::from_utf8(port.get(1..)?).ok()?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::get(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    fn check_for(version: Version, uri: &str, hosts: &[&str]) -> Result<(), Fault> {
        let names = ["api.test".to_owned(), "[::1]".to_owned()];
        check(&request(version, uri, hosts), &names)
    }

    #[test]
    fn over_http_1_there_is_one_host_and_it_is_ours() {
        let of = |uri: &str, hosts: &[&str]| check_for(Version::HTTP_11, uri, hosts);
        for right in [
            "api.test",
            "API.test:8443",
            "api.test:443",
            "[::1]",
            "[::1]:1",
        ] {
            assert_eq!(of("/", &[right]), Ok(()), "{right}");
        }
        assert_eq!(of("https://api.test/", &["api.test"]), Ok(()));
        for wrong in [
            "",
            ":443",
            "evil.test",
            "api.test.evil.test",
            "api.test.",
            "xapi.test",
            "a@api.test",
            "api.test:",
            "api.test:x",
            "api.test:65536",
            "api.test:+1",
            "api.test:443:443",
            "api.test,api.test",
            "api.test api.test",
            "api.test/",
            "::1",
            "http://api.test",
        ] {
            assert_eq!(of("/", &[wrong]), Err(Fault::HostWrong), "{wrong}");
        }
        assert_eq!(of("/", &[]), Err(Fault::HostWrong));
        assert_eq!(of("https://api.test/", &[]), Err(Fault::HostWrong));
        assert_eq!(of("/", &["api.test", "api.test"]), Err(Fault::HostWrong));
        assert_eq!(of("/", &["api.test", "evil.test"]), Err(Fault::HostWrong));
        assert_eq!(
            of("https://evil.test/", &["api.test"]),
            Err(Fault::HostWrong)
        );
        assert_eq!(
            of("https://api.test/", &["evil.test"]),
            Err(Fault::HostWrong)
        );
        assert_eq!(check_for(Version::HTTP_10, "/", &[]), Err(Fault::HostWrong));
    }

    #[test]
    fn over_http_2_a_foreign_host_is_told_that_it_is_at_the_wrong_place() {
        let of = |uri, hosts| check_for(Version::HTTP_2, uri, hosts);
        assert_eq!(of("https://api.test/", &[]), Ok(()));
        assert_eq!(of("https://api.test:8443/", &["api.test:8443"]), Ok(()));
        assert_eq!(of("/", &["api.test"]), Ok(()));
        assert_eq!(of("https://pay.test/", &[]), Err(Fault::Misdirected));
        assert_eq!(
            of("https://api.test/", &["pay.test"]),
            Err(Fault::HostWrong)
        );
        assert_eq!(of("/", &[]), Err(Fault::HostWrong));
    }

    #[test]
    fn over_http_2_a_head_is_bounded_too() {
        let of = |name: &str, size: usize| {
            let request = Request::get(format!("https://api.test/{name}")).version(Version::HTTP_2);
            let request = request.header("x", "a".repeat(size)).body(()).unwrap();
            check(&request, &["api.test".to_owned()])
        };
        assert_eq!(of("", HEAD_BYTES_MAX - FIELD_BYTES - 2), Ok(()));
        assert_eq!(
            of("", HEAD_BYTES_MAX - FIELD_BYTES - 1),
            Err(Fault::HeadTooLarge)
        );
        let address = "a".repeat(ADDRESS_BYTES_MAX);
        assert_eq!(of(&address, 1), Err(Fault::AddressTooLong));
    }

    #[test]
    fn a_method_is_what_it_says_and_one_that_a_route_can_have() {
        let with = |method: &str, name: &str| {
            let request = Request::builder()
                .method(method)
                .uri("/")
                .header(HOST, "api.test");
            let request = request.header(name, "DELETE").body(()).unwrap();
            check(&request, &["api.test".to_owned()])
        };
        assert_eq!(with("POST", "x-other"), Ok(()));
        for name in METHOD_OVERRIDES {
            assert_eq!(with("POST", name.as_str()), Err(Fault::MethodOverride));
        }
        for method in ["CONNECT", "TRACE"] {
            assert_eq!(with(method, "x-other"), Err(Fault::MethodUnknown));
        }
    }
}
