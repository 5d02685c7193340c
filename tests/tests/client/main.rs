//! The promises of `capturectl`, from outside: the real client with the real daemon.

mod breaking;
mod commands;
mod pull;
