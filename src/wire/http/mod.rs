//! HTTP/1.1 (RFC 9112): requests in, responses out.
