//! Wire types, OpenAPI, typed client.
