//! How often a client may do something.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Clients with a rate of their own; the others share one.
const MOST_CLIENTS: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// Allows each client a number of actions per minute.
#[derive(Debug)]
pub struct Rates {
    per_minute: u32,
    clients: Mutex<HashMap<String, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    used: u32,
}

impl Rates {
    /// So many per minute and client.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            clients: Mutex::default(),
        }
    }

    /// Counts an action.
    ///
    /// # Errors
    /// The client has used up its actions; the time is how long to wait.
    pub fn take(&self, client: &str) -> Result<(), Duration> {
        self.take_at(client, Instant::now())
    }

    fn take_at(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, window| now.saturating_duration_since(window.began) < MINUTE);
        }
        let known = clients.len() < MOST_CLIENTS || clients.contains_key(client);
        let key = if known { client } else { "" };
        let window = clients.entry(key.to_owned()).or_insert(Window {
            began: now,
            used: 0,
        });
        let age = now.saturating_duration_since(window.began);
        if age >= MINUTE {
            *window = Window {
                began: now,
                used: 0,
            };
        }
        if window.used >= self.per_minute {
            return Err(MINUTE.saturating_sub(age).max(Duration::from_secs(1)));
        }
        window.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_too_fast_waits_and_others_do_not() {
        let rates = Rates::new(2);
        let start = Instant::now();
        assert_eq!(rates.take_at("a", start), Ok(()));
        assert_eq!(rates.take_at("a", start), Ok(()));
        assert_eq!(rates.take_at("a", start), Err(MINUTE));
        assert_eq!(rates.take_at("b", start), Ok(()));
        assert_eq!(rates.take_at("a", start + MINUTE), Ok(()));
    }

    #[test]
    fn many_clients_cost_bounded_memory() {
        let rates = Rates::new(1);
        let start = Instant::now();
        for client in 0..2 * MOST_CLIENTS {
            let _ = rates.take_at(&client.to_string(), start);
        }
        assert_eq!(rates.clients.lock().unwrap().len(), MOST_CLIENTS + 1);
    }
}
