//! `captured record` from outside: the real program in the tests' network namespaces, next to
//! tcpdump, with every packet accounted for.

mod bad_days;
mod capabilities;
mod clock;
mod filter;
mod idle;
mod interfaces;
mod ledger;
mod no_harm;
mod once;
mod promiscuous;
mod rotation;
mod same_packets;
mod stop;
mod tcpdump_user;
