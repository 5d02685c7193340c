//! Documents: what a search cluster gets of a capture file, from one pass over it. One document per flow
//! segment, DNS question, TLS handshake, HTTP request and finding, and one per packet if that is asked for.

mod context;
mod continued;
mod fields;
mod finding;
mod flow;
mod identity;
mod json;
mod kind;
mod message;
mod packet;
mod read;
mod time;
mod writer;

pub use context::FileContext;
pub use continued::{Continued, ContinuedError};
pub use fields::{FIELDS, Field, Name, Type, mapping};
pub use kind::{Kind, Kinds, UnknownKind};
pub use read::{Read, read};
pub use writer::{Output, Traffic};
