//! The analysis, over files made here.

mod applications;
mod bad_input;
mod comparison;
mod known_faults;
mod network;
mod pages;
mod schema;
mod security;
mod support;
