//! What is known of an image, by its digest: what is in it, what is wrong with it, how it came to be; as signed statements.
