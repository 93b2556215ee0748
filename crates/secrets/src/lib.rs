//! Envelope encryption, scopes, log masking: the only place plaintext appears.
