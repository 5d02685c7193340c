//! An S3 server to test with.
