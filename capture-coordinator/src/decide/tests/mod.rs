//! Tests of the decision, without a server.

mod export;
mod life;
mod namespaces;
mod orphans;
mod property;
mod trouble;
mod world;
