//! The analysis, over files made here.

#[cfg(test)]
mod applications;
mod bad_input;
mod comparison;
mod known_faults;
mod manifest;
mod mutated;
mod network;
#[cfg(test)]
mod pages;
mod records;
mod schema;
mod security;
mod support;
