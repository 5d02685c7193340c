//! The promises of `capturectl`, from outside: the real client with the real daemon.

mod analyze;
mod breaking;
mod commands;
mod pull;
