//! The progress of an apply as it runs: bars on a terminal, one line per event elsewhere, JSON lines for programs, and
//! a sign of life at least every 30 seconds, because pipelines kill what is silent.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use crate::domain::{Action, ActionId, ActionOutcome, Bytes, Event};
use crate::render::{Style, action_title, elapsed, event_line, outcome_line};

/// How long it may be silent.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// How many running actions a sign of life names.
const NAMED: usize = 3;

/// A running display. Events are sent from any thread through [`Progress::sender`]; dropping it waits for the last.
pub struct Progress {
    sender: Option<Sender<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Prints one JSON object a line on `out`, and the heartbeat on `err`.
    pub(super) fn json(out: Output, err: Output, heartbeat: Duration) -> Self {
        Self::start(move || Display::new(Kind::Json(out), err, Style::plain(), heartbeat))
    }

    /// Prints one line per event.
    pub(super) fn lines(err: Output, style: Style, heartbeat: Duration) -> Self {
        Self::start(move || Display::new(Kind::Lines, err, style, heartbeat))
    }

    /// Draws a bar per running action and one for the total.
    pub(super) fn bars(err: Output, style: Style) -> Self {
        Self::start(move || Display::new(Kind::Bars(Bars::new(style)), err, style, HEARTBEAT))
    }

    /// Returns an end to send events into. Sending never blocks and never fails the sender.
    #[must_use]
    pub fn sender(&self) -> Option<Sender<Event>> {
        self.sender.clone()
    }

    fn start(make: impl FnOnce() -> Display + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || make().run(&receiver));
        // Without a thread there is no display; the work goes on.
        Self { sender: Some(sender), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A display that panicked has nothing to say any more.
            let _ = thread.join();
        }
    }
}

enum Kind {
    Json(Output),
    Lines,
    Bars(Bars),
}

struct Running {
    action: Action,
    since: Clock,
    bytes: Bytes,
}

struct Display {
    kind: Kind,
    err: Output,
    style: Style,
    heartbeat: Duration,
    running: BTreeMap<ActionId, Running>,
    done: u64,
    total: u64,
    moved: Moved,
}

/// How much was moved in all, and how much is likely to be.
struct Moved {
    since: Clock,
    settled: Bytes,
    planned: Option<Bytes>,
}

impl Moved {
    /// Says how much was moved, how fast, and how long the rest takes at that: `1.2 GiB of 3.4 GiB, 34.0 MiB/s, 1m 4s left`.
    fn words(&self, running: Bytes) -> String {
        let bytes = self.settled.plus(running);
        let mut words = match self.planned {
            Some(planned) if planned >= bytes => format!("{bytes} of {planned}"),
            _ => bytes.to_string(),
        };
        let Some(rate) = rate(bytes, self.since) else { return words };
        words.push_str(&format!(", {rate}/s"));
        let left = self.planned.and_then(|planned| planned.0.checked_sub(bytes.0)).filter(|left| *left > 0);
        if let Some(left) = left {
            words.push_str(&format!(", {} left", elapsed((left / rate.0.max(1)).saturating_mul(1000))));
        }
        words
    }
}

/// Returns how many bytes a second were moved since; `None` where that says nothing yet.
fn rate(bytes: Bytes, since: Clock) -> Option<Bytes> {
    let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    (ms > 0 && bytes.0 > 0).then(|| Bytes(bytes.0.saturating_mul(1000) / ms)).filter(|rate| rate.0 > 0)
}

impl Display {
    fn new(kind: Kind, err: Output, style: Style, heartbeat: Duration) -> Self {
        let moved = Moved { since: Clock::now(), settled: Bytes(0), planned: None };
        Self { kind, err, style, heartbeat, running: BTreeMap::new(), done: 0, total: 0, moved }
    }

    fn run(mut self, events: &Receiver<Event>) {
        let mut spoken = Clock::now();
        loop {
            match events.recv_timeout(self.heartbeat.saturating_sub(spoken.elapsed())) {
                Ok(event) => {
                    if self.show(event) {
                        spoken = Clock::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.beat();
                    spoken = Clock::now();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Kind::Bars(bars) = &self.kind {
            bars.clear();
        }
    }

    /// Shows an event and returns whether a line was written.
    fn show(&mut self, event: Event) -> bool {
        let quiet = matches!(event, Event::Progress { .. });
        if let Kind::Json(out) = &self.kind {
            out.write(&event_line(&event));
        }
        match event {
            Event::Started { actions, bytes, .. } => {
                self.total = actions;
                self.moved = Moved { since: Clock::now(), settled: Bytes(0), planned: bytes };
                if let Kind::Bars(bars) = &mut self.kind {
                    bars.begin(actions);
                } else {
                    self.line(&format!("applying {actions} {}", if actions == 1 { "action" } else { "actions" }));
                }
            }
            Event::ActionStarted { action } => {
                let title = action_title(&action, &self.style);
                if let Kind::Bars(bars) = &mut self.kind {
                    bars.add(action.id, &title, action.bytes);
                } else {
                    self.line(&format!("begin {title}"));
                }
                self.running.insert(action.id, Running { action: *action, since: Clock::now(), bytes: Bytes(0) });
            }
            Event::Progress { id, bytes } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.bytes = bytes;
                }
                let total = self.moved.words(self.under_way());
                if let Kind::Bars(bars) = &mut self.kind {
                    bars.moved(id, bytes, total);
                }
            }
            Event::ActionFinished { id, outcome, elapsed_ms, retries } => {
                self.done += 1;
                if let Kind::Bars(bars) = &mut self.kind {
                    bars.remove(id, self.done);
                }
                if let Some(running) = self.running.remove(&id) {
                    self.moved.settled = self.moved.settled.plus(running.bytes);
                    let outcome = ActionOutcome { action: running.action, outcome, elapsed_ms, retries };
                    let line = outcome_line(&outcome, &self.style);
                    match &self.kind {
                        Kind::Bars(bars) => bars.print(&line),
                        _ => self.line(&format!("[{}/{}] {line}", self.done, self.total)),
                    }
                }
            }
            Event::Finished { .. } => {}
        }
        !quiet
    }

    fn line(&self, text: &str) {
        if matches!(self.kind, Kind::Lines) {
            self.err.write(&format!("{text}\n"));
        }
    }

    /// Returns how much the running actions have moved.
    fn under_way(&self) -> Bytes {
        self.running.values().map(|running| running.bytes).sum()
    }

    fn beat(&self) {
        if matches!(self.kind, Kind::Bars(_)) {
            return;
        }
        let mut words = format!("still at work: {} of {} actions done", self.done, self.total);
        let under_way = self.under_way();
        if self.moved.settled.plus(under_way) > Bytes(0) {
            words.push_str(&format!(", {}", self.moved.words(under_way)));
        }
        let mut running: Vec<&Running> = self.running.values().collect();
        running.sort_by_key(|running| running.since);
        for running in running.iter().take(NAMED) {
            let ms = u64::try_from(running.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let title = action_title(&running.action, &self.style);
            let rate = rate(running.bytes, running.since).map(|rate| format!(", {rate}/s")).unwrap_or_default();
            words.push_str(&format!("; {title}: {} in {}{rate}", running.bytes, elapsed(ms)));
        }
        if running.len() > NAMED {
            words.push_str(&format!("; and {} more", running.len() - NAMED));
        }
        self.err.write(&format!("{words}\n"));
    }
}

struct Bars {
    all: MultiProgress,
    total: Option<ProgressBar>,
    each: BTreeMap<ActionId, ProgressBar>,
    style: Style,
}

impl Bars {
    fn new(style: Style) -> Self {
        Self { all: MultiProgress::new(), total: None, each: BTreeMap::new(), style }
    }

    fn look(&self, template: &str) -> ProgressStyle {
        let look = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        if self.style.unicode { look } else { look.progress_chars("=> ").tick_chars("-\\|/ ") }
    }

    fn begin(&mut self, actions: u64) {
        let bar = self.all.add(ProgressBar::new(actions));
        bar.set_style(self.look("[{elapsed}] {bar:30} {pos}/{len} actions  {msg}"));
        bar.enable_steady_tick(Duration::from_millis(250));
        self.total = Some(bar);
    }

    fn add(&mut self, id: ActionId, title: &str, bytes: Option<Bytes>) {
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes.0).with_style(
                self.look("  {wide_msg} {bar:20} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"),
            ),
            None => ProgressBar::no_length()
                .with_style(self.look("  {spinner} {wide_msg} {binary_bytes} {binary_bytes_per_sec}")),
        };
        let bar = match &self.total {
            Some(total) => self.all.insert_before(total, bar),
            None => self.all.add(bar),
        };
        bar.set_message(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        self.each.insert(id, bar);
    }

    fn moved(&self, id: ActionId, bytes: Bytes, total: String) {
        if let Some(bar) = &self.total {
            bar.set_message(total);
        }
        if let Some(bar) = self.each.get(&id) {
            // The length is an estimate; a bar past its end would look done.
            if bar.length().is_some_and(|length| length < bytes.0) {
                bar.set_length(bytes.0);
            }
            bar.set_position(bytes.0);
        }
    }

    fn remove(&mut self, id: ActionId, done: u64) {
        if let Some(bar) = self.each.remove(&id) {
            bar.finish_and_clear();
        }
        if let Some(total) = &self.total {
            total.set_position(done);
        }
    }

    fn print(&self, line: &str) {
        // A terminal that is gone has nobody to tell.
        let _ = self.all.println(line);
    }

    fn clear(&self) {
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::{Display, HEARTBEAT, Kind, Progress};
    use crate::cli::output::Output;
    use crate::domain::{
        Action, ActionClass, ActionId, ActionKind, Address, Bytes, Digest, Event, Outcome, Reason, ReasonCode, RunId,
        Section,
    };
    use crate::render::Style;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
        fn output(&self) -> Output {
            Output::new(Box::new(self.clone()))
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn events() -> Vec<Event> {
        let address = Address::of(Section::Store, "primary".parse().unwrap());
        let id = ActionId::of("ensure_store", None, None, &address, None);
        let kind = ActionKind::EnsureStore { store: "primary".parse().unwrap(), url: "file:///tmp/s".to_owned() };
        let reason = Reason { code: ReasonCode::Missing, words: "it is new".to_owned(), location: None };
        let class = ActionClass::Change;
        let action =
            Action { id, address, class, kind, reason, preconditions: vec![], after: vec![], bytes: Some(Bytes(10)) };
        let at = "2026-11-20T02:00:00Z".parse().unwrap();
        let digest = Digest::new([1; 32]);
        let run = RunId::of(at, 1);
        vec![
            Event::Started { format_version: "1.0".to_owned(), run, plan_digest: digest, at, actions: 1, bytes: None },
            Event::ActionStarted { action: Box::new(action) },
            Event::Progress { id, bytes: Bytes(2048) },
            Event::ActionFinished {
                id,
                outcome: Outcome::Done { summary: "made".to_owned() },
                elapsed_ms: 800,
                retries: 0,
            },
        ]
    }

    #[test]
    fn lines_say_what_begins_and_how_it_ended() {
        let err = Buffer::default();
        let progress = Progress::lines(err.output(), Style::plain(), HEARTBEAT);
        let sender = progress.sender().unwrap();
        events().into_iter().for_each(|event| sender.send(event).unwrap());
        drop(sender);
        drop(progress);
        let title = "store.primary: mark file:///tmp/s as a store and learn what it can do";
        assert_eq!(err.text(), format!("applying 1 action\nbegin {title}\n[1/1] ✓ + {title}: made (0.8 s)\n"));
    }

    #[test]
    fn every_event_is_a_json_line_in_order() {
        let (out, err) = (Buffer::default(), Buffer::default());
        let progress = Progress::json(out.output(), err.output(), HEARTBEAT);
        let sender = progress.sender().unwrap();
        events().into_iter().for_each(|event| sender.send(event).unwrap());
        drop(sender);
        drop(progress);
        let back: Vec<Event> = out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(back, events());
        assert_eq!(err.text(), "");
    }

    #[test]
    fn silent_work_still_gives_a_sign_of_life() {
        let err = Buffer::default();
        let (sender, receiver) = channel();
        let display = Display::new(Kind::Lines, err.output(), Style::plain(), Duration::from_millis(20));
        let thread = std::thread::spawn(move || display.run(&receiver));
        events().into_iter().take(3).for_each(|event| sender.send(event).unwrap());
        let mut tries = 0;
        while !err.text().contains("still at work") && tries < 500 {
            std::thread::sleep(Duration::from_millis(10));
            tries += 1;
        }
        drop(sender);
        thread.join().unwrap();
        assert!(err.text().contains("still at work: 0 of 1 actions done, 2.00 KiB"), "{}", err.text());
        assert!(err.text().contains("/s; store.primary: "), "{}", err.text());
        assert!(err.text().contains("2.00 KiB in "), "{}", err.text());
    }
}
