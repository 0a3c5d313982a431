//! A function whose calls are served as a fluid: so many arrive a second, each replica serves so many, the rest
//! waits. What that costs in CPU, memory and time is measured every five seconds.
#![allow(dead_code, reason = "each user takes its part")]

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_autoscaler::Source;
use tidegate_core::Replicas;

use super::{Scenario, secs};

/// What the function is like.
#[derive(Copy, Clone, Debug)]
pub struct Nature {
    /// Calls a second that one replica serves at most.
    pub serves: f64,
    /// Milli-CPU-seconds of a call.
    pub cpu: f64,
    /// Milli-CPU that a replica burns while it starts.
    pub start_burns: f64,
    /// Seconds that a call takes on an idle replica; the fuller, the longer.
    pub takes: f64,
    /// Bytes of a call that is open.
    pub bytes: f64,
    /// Seconds until a replica is ready.
    pub starts_in: u64,
}

/// One such function.
pub struct Served {
    pub function: Scenario,
    nature: Nature,
    /// When replicas on their way will be ready, in seconds.
    starts: VecDeque<u64>,
    waiting: f64,
    done: f64,
    /// CPU and time of the last seconds, the newest last.
    cpu: VecDeque<f64>,
    time: VecDeque<f64>,
    second: u64,
}

impl Default for Nature {
    fn default() -> Self {
        Self { serves: 10.0, cpu: 50.0, start_burns: 0.0, takes: 0.05, bytes: 1e6, starts_in: 2 }
    }
}

impl Served {
    pub fn new(mut function: Scenario, nature: Nature) -> Self {
        function.instant_starts = false;
        Self {
            function,
            nature,
            starts: VecDeque::new(),
            waiting: 0.0,
            done: 0.0,
            cpu: VecDeque::new(),
            time: VecDeque::new(),
            second: 0,
        }
    }

    /// So many calls a second arrive for so long.
    pub fn gets(&mut self, calls: f64, span: Duration) -> &mut Self {
        for _ in 0..span.as_secs() {
            self.second(calls);
        }
        self
    }

    fn second(&mut self, calls: f64) {
        self.second += 1;
        let before = self.function.desired;
        self.start();
        let nature = self.nature;
        let ready = f64::from(self.function.ready.get());
        self.waiting += calls;
        let served = self.waiting.min(ready * nature.serves);
        self.waiting -= served;
        self.done += served;
        // As in a queue with one server: the time is without bound as the replicas are filled.
        let share = (served / (ready * nature.serves).max(1e-9)).min(0.98);
        let time = nature.takes / (1.0 - share) + self.waiting / (ready * nature.serves).max(1e-9);
        let burns = self.starts.len() as f64 * nature.start_burns;
        keep(&mut self.cpu, served * nature.cpu + burns, 5);
        keep(&mut self.time, if served > 0.0 { time } else { 0.0 }, 30);
        let load = &mut self.function.load;
        load.in_flight = (served * nature.takes / (1.0 - share)).round() as u64;
        load.waiting = self.waiting.round() as u64;
        load.completed = self.done as u64;
        load.started = load.completed + load.demand();
        if served > 0.0 {
            load.last_end = Some(self.function.now);
        }
        self.function.passes(secs(1));
        if self.second.is_multiple_of(5) {
            self.measure();
        }
        self.function.look();
        self.order(before);
    }

    fn measure(&mut self) {
        let mean = |kept: &VecDeque<f64>| kept.iter().sum::<f64>() / kept.len().max(1) as f64;
        let open = self.function.load.demand() as f64;
        let (cpu, bytes, time) = (mean(&self.cpu), open * self.nature.bytes, mean(&self.time));
        self.function.measures(&Source::Cpu, cpu);
        self.function.measures(&Source::Memory, bytes);
        self.function.measures(&Source::Latency, time);
        self.function.measures(&Source::Rule("open".into()), open);
    }

    fn start(&mut self) {
        while self.starts.front().is_some_and(|at| *at <= self.second) {
            self.starts.pop_front();
            self.function.ready = self.function.ready.plus(Replicas::ONE);
        }
    }

    /// What was decided is begun; what is not wanted any more is not begun or ended.
    fn order(&mut self, before: Replicas) {
        let desired = self.function.desired;
        if desired == before {
            return;
        }
        let there = |ready: Replicas, starts: usize| ready.get() + starts as u32;
        while there(self.function.ready, self.starts.len()) > desired.get()
            && self.starts.pop_back().is_some()
        {}
        self.function.ready = self.function.ready.min(desired);
        while there(self.function.ready, self.starts.len()) < desired.get() {
            self.starts.push_back(self.second + self.nature.starts_in);
        }
    }
}

fn keep(kept: &mut VecDeque<f64>, value: f64, most: usize) {
    kept.push_back(value);
    if kept.len() > most {
        kept.pop_front();
    }
}
