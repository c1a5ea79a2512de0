//! The check of an endpoint's address.

/// Why an address cannot be used: what is wrong, and what to do.
type Fault = (&'static str, &'static str);

const EXAMPLE: &str = "write it like `https://host/mcp` or `http://127.0.0.1:8080/mcp`";

/// Checks that `url` is an absolute `http` or `https` address with a host.
pub(super) fn check(url: &str) -> Result<(), Fault> {
    if url.is_empty() {
        return Err(("the address is empty", EXAMPLE));
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err((
            "the address holds spaces or control characters",
            "write a space as `%20`",
        ));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err((
            "the address does not begin with `http://` or `https://`",
            EXAMPLE,
        ));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err((
            "the address does not begin with `http://` or `https://`",
            EXAMPLE,
        ));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err((
            "the address holds a user name or a password",
            "move it into `headers`, as `Authorization`",
        ));
    }
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, port)) => {
            let digits = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
            if !host.contains(':') || !host.chars().all(digits) {
                return Err(("the address has a malformed host", EXAMPLE));
            }
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() {
        return Err(("the address has no host", EXAMPLE));
    }
    if !host.is_ascii() {
        return Err((
            "the host holds characters beyond ASCII",
            "write its `xn--` form",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !host.chars().all(plain) {
        return Err(("the address has a malformed host", EXAMPLE));
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits)
            if digits.chars().all(|c| c.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port != 0) =>
        {
            Ok(())
        }
        Some(_) | None => Err((
            "the address has a malformed port",
            "write a port of 1 to 65535",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_pass() {
        for url in [
            "http://localhost",
            "https://mcp.example.com/mcp",
            "HTTPS://h/x?y=http://z@w",
            "http://127.0.0.1:8080/mcp#a",
            "http://[::1]:3000/mcp",
            "http://[fe80::1]",
            "http://my_host:65535",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn others_are_refused_for_their_own_reason() {
        for (url, message) in [
            ("", "the address is empty"),
            (
                "localhost:80/mcp",
                "the address does not begin with `http://` or `https://`",
            ),
            (
                "ws://h/mcp",
                "the address does not begin with `http://` or `https://`",
            ),
            (
                "http:/h",
                "the address does not begin with `http://` or `https://`",
            ),
            (
                "http://a b/",
                "the address holds spaces or control characters",
            ),
            (
                "http://h/\u{0}",
                "the address holds spaces or control characters",
            ),
            ("http:///mcp", "the address has no host"),
            ("http://:80", "the address has no host"),
            (
                "http://ann:pw@h/",
                "the address holds a user name or a password",
            ),
            ("http://h:0", "the address has a malformed port"),
            ("http://h:", "the address has a malformed port"),
            ("http://h:+80", "the address has a malformed port"),
            ("http://h:65536/", "the address has a malformed port"),
            ("http://[::1]80", "the address has a malformed port"),
            ("http://[zz]/", "the address has a malformed host"),
            ("http://[::1/", "the address has a malformed host"),
            ("http://a%20b/", "the address has a malformed host"),
            (
                "http://bücher.example/",
                "the host holds characters beyond ASCII",
            ),
        ] {
            assert_eq!(check(url).unwrap_err().0, message, "{url}");
        }
    }
}
