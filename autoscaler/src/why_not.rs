//! Why a function does not have some other count: everything that stands against it, with its numbers.
//!
//! Told from what is kept, in the order in which the decision looks at it.

use serde::Serialize;
use tidegate_core::{Decimal, FunctionId, LoadType, Moment, Replicas, Target, format_duration};

use crate::by_target::{asked_by_calls, held};
use crate::config::Settings;
use crate::decision::seconds as span_text;
use crate::explain::idle_sentence;
use crate::formula::{formula, unit};
use crate::function::Function;
use crate::kept::Last;
use crate::measured::{Measure, Source};
use crate::rule::BUSY_RATE;
use crate::rules::{Answer, Rule, Sight, Wanted, known_for};

/// The answer to "why not so many?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyNot {
    /// `name.namespace`.
    pub function: String,
    /// The count that was asked about.
    pub asked: Replicas,
    /// The count that there is.
    pub desired: Replicas,
    /// What stands against it, one sentence each; what would make it come about stands last.
    pub because: Vec<String>,
}

pub(crate) fn why_not(
    config: &Settings,
    now: Moment,
    id: &FunctionId,
    function: &Function,
    asked: Replicas,
) -> WhyNot {
    let desired = function.last.map_or(Replicas::ZERO, |last| last.desired);
    let because = match function.last {
        None => vec!["it has not been looked at yet".to_owned()],
        Some(last) => Asked { config, now, function, last, asked }.because(),
    };
    WhyNot { function: id.to_string(), asked, desired, because }
}

struct Asked<'a> {
    config: &'a Settings,
    now: Moment,
    function: &'a Function,
    last: Last,
    asked: Replicas,
}

impl Asked<'_> {
    fn because(&self) -> Vec<String> {
        let (asked, desired) = (self.asked, self.last.desired);
        if asked == desired {
            let hold = self.function.hold.as_ref();
            let why = hold.map_or("it was just decided so".to_owned(), ToString::to_string);
            return vec![format!("there are {desired}: {why}")];
        }
        if asked.is_zero() {
            return vec![idle_sentence(self.config, self.now, self.function, &self.last)];
        }
        if desired.is_zero() {
            return self.at_zero();
        }
        let mut lines = self.bounds();
        if self.function.policy.bounds.is_static() || !lines.is_empty() {
            return lines;
        }
        if asked > desired {
            self.more(&mut lines)
        } else {
            self.fewer(&mut lines)
        }
        if lines.is_empty() {
            lines.push(format!("nothing stands against {asked}: the next looks go there"));
        }
        lines
    }

    fn at_zero(&self) -> Vec<String> {
        let min = self.function.policy.bounds.min();
        vec![
            idle_sentence(self.config, self.now, self.function, &self.last),
            format!(
                "at zero only a call that waits raises the count: to {min}, or to what a burst fills"
            ),
        ]
    }

    fn bounds(&self) -> Vec<String> {
        let (asked, bounds) = (self.asked, self.function.policy.bounds);
        let mut lines = Vec::new();
        if asked > bounds.max() {
            lines.push(format!(
                "{asked} is above the maximum, com.openfaas.scale.max = {}",
                bounds.max()
            ));
        }
        if asked < bounds.min() {
            lines.push(format!(
                "{asked} is below the minimum, com.openfaas.scale.min = {}",
                bounds.min()
            ));
        }
        if bounds.is_static() {
            lines.push(
                "minimum and maximum are the same, so load never changes the count".to_owned(),
            );
        }
        lines
    }

    fn sight(&self) -> Sight<'_> {
        Sight::last(self.now, &self.last)
    }

    fn wanted(&self) -> Wanted {
        Wanted::of(self.config, self.function, &self.sight())
    }

    fn formula(&self) -> Vec<String> {
        formula(self.config, self.now, self.function, &self.last)
    }

    fn more(&self, lines: &mut Vec<String>) {
        let (asked, last) = (self.asked, &self.last);
        self.load_is_unknown(lines);
        if let Some((since, _)) = self.function.pending_since.get() {
            let since = self.now.since(since);
            if since > self.config.start_deadline && last.pending >= last.ready {
                let (pending, since) = (last.pending, span_text(since));
                lines.push(format!(
                    "{pending} that were started are not ready for {since}: no more are started before one is"
                ));
            }
        }
        if let Some(rate) = self.function.policy.pace.up_rate {
            let most = rate.up(last.ready);
            if asked > most {
                let ready = last.ready;
                lines.push(format!("{ready} are ready, and up-rate {rate} allows {most} at once"));
            }
        }
        let wanted = self.wanted();
        if let Target::Community { factor } = self.function.policy.target
            && self.function.is_community()
        {
            self.community(factor, lines);
        } else if wanted.highest().up < asked && wanted.is_known() {
            lines.push(match wanted.by() {
                None => format!("the load asks for {} only", wanted.highest().up),
                Some(source) => format!("{source} asks for {} only", wanted.highest().up),
            });
            lines.extend(self.formula());
            lines.extend(Rule::of(&self.function.policy.target).map(|rule| self.needed(rule)));
            self.measures()
                .filter_map(|measure| self.needed_by(measure))
                .for_each(|line| lines.push(line));
        }
        lines.extend(wanted.unmeasured().map(|hold| hold.to_string()));
    }

    fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.function.measures.iter().flat_map(|measures| measures.iter())
    }

    /// From which value on the count would be what was asked about.
    fn needed_by(&self, measure: &Measure) -> Option<String> {
        let Measure { source, target, proportion, .. } = measure;
        if *source == Source::Latency {
            return None;
        }
        let (asked, from) = (self.asked, self.asked.minus(Replicas::ONE));
        let value = source.text(f64::from(from.get()) * product(*target, *proportion));
        let target = source.target(*target);
        Some(format!(
            "{asked} come with more than {value} by {source}, {from} × {target} × {proportion}"
        ))
    }

    /// From which load on the count would be what was asked about.
    fn needed(&self, rule: Rule) -> String {
        let (asked, from) = (self.asked, self.asked.minus(Replicas::ONE));
        let unit = unit(rule.load);
        let more_than = |target: f64| f64::from(from.get()) * target;
        let average = more_than(rule.target.as_f64() * rule.proportion.as_f64());
        let on = if rule.load == LoadType::Queue { "at once" } else { "on average" };
        let text = format!(
            "{asked} come with more than {average:.1} {unit} {on}, {from} × {} × {}",
            rule.target, rule.proportion
        );
        if rule.load != LoadType::Capacity {
            return text;
        }
        let there = more_than(rule.target.as_f64());
        format!("{text}, or at once when more than {there:.0} calls are open")
    }

    fn community(&self, factor: u32, lines: &mut Vec<String>) {
        if factor == 0 {
            lines.push("com.openfaas.scale.factor is 0: no step is ever taken".to_owned());
            return;
        }
        let rate = self.function.busy_rate(self.config).as_f64();
        lines.push(format!(
            "there is no target, and {rate:.1} calls a second; more than {BUSY_RATE} step up by {factor} % of the maximum, every 5s"
        ));
    }

    fn fewer(&self, lines: &mut Vec<String>) {
        let asked = self.asked;
        self.load_is_unknown(lines);
        let load = self.last.fresh_load().copied().unwrap_or_default();
        let (demand, limit) = (load.demand(), self.last.replica_limit);
        let open = asked_by_calls(self.function, limit, load.in_flight, load.waiting);
        let open = open.unwrap_or(Replicas::ZERO);
        if open > asked {
            lines.push(format!("{demand} calls are open and fill {open}"));
        }
        let wanted = self.wanted();
        let highest = wanted.highest();
        if self.function.is_community() {
            self.raised(lines);
        } else if highest.up > asked {
            lines.push(match wanted.by() {
                None => format!("the load asks for {}", highest.up),
                Some(source) => format!("{source} asks for {}", highest.up),
            });
            lines.extend(self.formula());
        } else if wanted.is_known() {
            self.hovers(highest, lines);
        }
        lines.extend(wanted.unmeasured().map(|hold| hold.to_string()));
        self.holds(lines);
        if let Some(rate) = self.function.policy.pace.down_rate {
            let least = rate.down(self.last.ready);
            if asked < least {
                let ready = self.last.ready;
                lines.push(format!(
                    "{ready} are ready, and down-rate {rate} allows {least} at once"
                ));
            }
        }
    }

    fn hovers(&self, highest: Answer, lines: &mut Vec<String>) {
        let Some((count, age)) = self.function.wishes.hovering(self.now) else { return };
        if count.min(highest.hover) <= self.asked {
            return;
        }
        let (asked, tolerance) = (self.asked, self.function.policy.pace.tolerance);
        let told = self.barely(tolerance).unwrap_or_else(|| {
            format!("{tolerance} % more than there is asks for {}, not {asked}", highest.hover)
        });
        lines.push(format!(
            "{told}; {count} were wanted {} ago, and within 15m of that there is no step down to a count that barely does (com.tidegate.scale.tolerance)",
            span_text(age)
        ));
    }

    /// How little room the load that the gateway counts would have.
    fn barely(&self, tolerance: u16) -> Option<String> {
        let rule = Rule::of(&self.function.policy.target)?;
        let stable = rule.averages(self.config, self.function)?.stable;
        let more = stable.percent(100 + u32::from(tolerance));
        let (with, count) = (more.as_f64(), rule.replicas_for(more));
        let room = f64::from(self.asked.get()) * product(rule.target, rule.proportion);
        let (unit, stable, asked) = (unit(rule.load), stable.as_f64(), self.asked);
        (count > asked).then(|| format!(
            "{stable:.3} {unit} and {tolerance} % more are {with:.3}, which ask for {count}, above the {room:.3} of {asked}"
        ))
    }

    /// A function without a target: who brought the count up takes it back.
    fn raised(&self, lines: &mut Vec<String>) {
        let community = &self.function.community;
        if !self.function.raised {
            lines.push(
                "there is no target, and the count was asked for by an operator or an alert: it stays until they ask again"
                    .to_owned(),
            );
            return;
        }
        if let Some(busy) = community.busy.get() {
            let (ago, window) = (self.now.since(busy), self.config.stable_window);
            if ago < window {
                let (ago, window) = (span_text(ago), span_text(window));
                lines.push(format!("more than {BUSY_RATE} calls a second were seen {ago} ago; it goes down after {window} of calm"));
            }
        }
    }

    fn holds(&self, lines: &mut Vec<String>) {
        let hold = self.function.hold(self.config);
        let wish =
            self.function.wishes.held(self.now, hold).filter(|(count, _)| *count > self.asked);
        if let Some((count, age)) = wish
            && held(self.config, self.function, self.now, self.asked) > self.asked
        {
            let (age, left) = (span_text(age), span_text(hold.saturating_sub(age)));
            let window = format_duration(hold);
            lines.push(format!(
                "{count} were wanted {age} ago, and the highest wish of the last {window} holds: for another {left}"
            ));
        }
        let (watched, window) = (known_for(self.function, self.now), self.config.stable_window);
        if watched < window {
            let (watched, window) = (span_text(watched), span_text(window));
            lines.push(format!(
                "the load was seen for {watched} of the {window} that a step down needs"
            ));
        }
    }

    fn load_is_unknown(&self, lines: &mut Vec<String>) {
        if self.last.fresh_load().is_some() {
            return;
        }
        let age = self.last.known_at.get().map(|at| span_text(self.now.since(at)));
        let known =
            age.map_or("was never known".to_owned(), |age| format!("was last known {age} ago"));
        lines.push(format!("the load {known}, and what is not known changes no count by the load"));
    }
}

fn product(target: Decimal, proportion: Decimal) -> f64 {
    target.as_f64() * proportion.as_f64()
}
