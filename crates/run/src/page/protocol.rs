//! The debugging protocol of Chromium over two pipes: JSON messages, each with a zero byte at its end.
//!
//! ```text
//!   us -- descriptor 3 of the browser -->  {"id": 1, "method": "...", "params": {...}, "sessionId": "..."}
//!   us <- descriptor 4 ------------------  {"id": 1, "result": {...}} and events without id
//! ```

use super::PageError;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Messages that wait to be looked at; a browser that writes more waits.
const QUEUE: usize = 64;
/// Longest message.
const MESSAGE_MAX: u64 = 256 << 20;
/// Events kept that nobody has asked for.
const EVENTS_MAX: usize = 10_000;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// An event of the browser.
pub struct Event {
    pub method: String,
    pub params: Value,
}

/// Both ends on our side.
pub struct Connection {
    writer: File,
    messages: Receiver<Vec<u8>>,
    /// Of the next request.
    id: u64,
    /// Of the page that requests are for; empty: the browser itself.
    session: String,
    events: VecDeque<Event>,
}

impl Connection {
    pub fn new(writer: File, reader: File) -> Connection {
        let (sender, messages) = sync_channel(QUEUE);
        std::thread::spawn(move || {
            let mut reader = BufReader::with_capacity(1 << 20, reader);
            loop {
                let mut message = Vec::new();
                let is_read = (&mut reader).take(MESSAGE_MAX).read_until(0, &mut message).is_ok();
                if !is_read || message.pop() != Some(0) || sender.send(message).is_err() {
                    return;
                }
            }
        });
        Connection { writer, messages, id: 0, session: String::new(), events: VecDeque::new() }
    }

    /// Requests are for this page from now on.
    pub fn attach(&mut self, session: &str) {
        self.session = session.to_owned();
    }

    /// Asks, and waits for the answer. Events that come before it wait for [`Connection::event`].
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, PageError> {
        let mut events = Vec::new();
        let answer = self.call_with(method, params, ANSWER_MAX, &mut |event| events.push(event));
        for event in events {
            self.keep(event);
        }
        answer
    }

    /// As [`Connection::call`]; events that come before the answer go to `on_event`.
    pub fn call_with(
        &mut self,
        method: &str,
        params: Value,
        limit: Duration,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Value, PageError> {
        self.id += 1;
        let mut request = json!({"id": self.id, "method": method, "params": params});
        if !self.session.is_empty() && !method.starts_with("Browser.") && !method.starts_with("Target.") {
            request["sessionId"] = self.session.clone().into();
        }
        let mut bytes = request.to_string().into_bytes();
        bytes.push(0);
        self.writer.write_all(&bytes).map_err(|_| PageError::Gone)?;
        let mut until = Instant::now() + limit;
        loop {
            let message =
                self.receive(until)?.ok_or_else(|| PageError::Silent { method: method.to_owned() })?;
            if message["id"].as_u64() == Some(self.id) {
                return match message.get("error") {
                    None => Ok(message["result"].clone()),
                    Some(error) => Err(PageError::Refused {
                        method: method.to_owned(),
                        reason: error["message"].as_str().unwrap_or("without a reason").to_owned(),
                    }),
                };
            }
            if let Some(event) = event(message) {
                // Who tells is not silent.
                until = Instant::now() + limit;
                on_event(event);
            }
        }
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The next event that `is` wants, until a moment; all before it are gone then.
    pub fn event(
        &mut self,
        until: Instant,
        is: &mut dyn FnMut(&Event) -> bool,
    ) -> Result<Option<Event>, PageError> {
        while let Some(event) = self.events.pop_front() {
            if is(&event) {
                return Ok(Some(event));
            }
        }
        while let Some(message) = self.receive(until)? {
            match event(message) {
                Some(event) if is(&event) => return Ok(Some(event)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The next message; `None` when there is none until then.
    fn receive(&mut self, until: Instant) -> Result<Option<Value>, PageError> {
        let rest = until.saturating_duration_since(Instant::now());
        match self.messages.recv_timeout(rest) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| PageError::Gone),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(PageError::Gone),
        }
    }
}

fn event(mut message: Value) -> Option<Event> {
    let params = message["params"].take();
    match message["method"].take() {
        Value::String(method) => Some(Event { method, params }),
        _ => None,
    }
}
