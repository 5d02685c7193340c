//! Tasks, reports, shared links and sessions in SQLite or PostgreSQL.
//!
//! Both engines run the same statements. Where their words differ, a statement has a placeholder: `{now}` for
//! the time of the database in milliseconds, so that the clocks of replicas do not matter, and `{unlocked}` for
//! passing over rows that another replica is about to take.

mod claims;
mod engine;
mod removal;
mod row;
mod sessions;
mod shares;
mod tasks;

pub use engine::{Database, DatabaseError, Engine};
pub use row::{Filter, NewTask, Source, State, StoredTask};
pub use sessions::StoredSession;
