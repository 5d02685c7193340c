//! Tests of the decision, without a server.

mod life;
mod property;
mod trouble;
mod world;
