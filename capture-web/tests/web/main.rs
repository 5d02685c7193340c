//! The program over HTTP, with real files, a real database and real child processes.

#[cfg(test)]
mod bad;
#[cfg(test)]
mod capture;
#[cfg(test)]
mod live;
#[cfg(test)]
mod server;
#[cfg(test)]
mod upload;
