//! The one-line form of a profile, read and written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidegate_core::{format_duration, parse_duration};

use super::{BadProfile, Per, Profile, Rate, Shape};

/// More than any machine sends; keeps all arithmetic far from its limits.
pub(super) const MOST_PER_SECOND: f64 = 10_000_000.0;
/// Longest part of a profile.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

const STEPS: &str = "steps:RATE@HOLD,… such as steps:0/s@10s,200/s@30s,0/s@60s";
const RAMP: &str = "ramp:FROM..TO@LENGTH such as ramp:0/s..500/s@60s";
const SPIKE: &str = "spike:BASE,PEAK@WHEN+LASTS[,TOTAL] such as spike:50/s,500/s@10s+5s,60s";
const SINE: &str = "sine:MEAN±SWING@PERIOD[,TOTAL] such as sine:100/s±50/s@30s,5m";

pub(super) fn parse(text: &str) -> Result<Shape, BadProfile> {
    let Some((word, rest)) = text.split_once(':') else {
        if !text.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return Err(BadProfile::Shape(short(text)));
        }
        let (rate, length) = rate_and_length(text)?;
        return Ok(Shape::Constant { rate, length });
    };
    match word.trim() {
        "constant" => {
            let (rate, length) = rate_and_length(rest)?;
            Ok(Shape::Constant { rate, length })
        }
        "poisson" => {
            let (rate, length) = rate_and_length(rest)?;
            Ok(Shape::Poisson { rate, length })
        }
        "steps" => rest
            .split(',')
            .map(|step| step_of(step, text))
            .collect::<Result<_, _>>()
            .map(Shape::Steps),
        "ramp" => ramp(rest, text),
        "spike" => spike(rest, text),
        "sine" => sine(rest, text),
        other => Err(BadProfile::Shape(short(other))),
    }
}

fn rate_and_length(text: &str) -> Result<(Rate, Option<Duration>), BadProfile> {
    match text.split_once('@') {
        Some((rate, length)) => Ok((rate.parse()?, Some(span(length)?))),
        None => Ok((text.parse()?, None)),
    }
}

fn step_of(step: &str, whole: &str) -> Result<(Rate, Duration), BadProfile> {
    let (rate, hold) = step.split_once('@').ok_or_else(|| form(whole, STEPS))?;
    Ok((rate.parse()?, span(hold)?))
}

fn ramp(rest: &str, whole: &str) -> Result<Shape, BadProfile> {
    let (from, rest) = rest.split_once("..").ok_or_else(|| form(whole, RAMP))?;
    let (to, length) = rest.split_once('@').ok_or_else(|| form(whole, RAMP))?;
    Ok(Shape::Ramp { from: from.parse()?, to: to.parse()?, length: span(length)? })
}

fn spike(rest: &str, whole: &str) -> Result<Shape, BadProfile> {
    let (base, rest) = rest.split_once(',').ok_or_else(|| form(whole, SPIKE))?;
    let (peak, rest) = rest.split_once('@').ok_or_else(|| form(whole, SPIKE))?;
    let (at, rest) = rest.split_once('+').ok_or_else(|| form(whole, SPIKE))?;
    let (lasts, length) = with_total(rest)?;
    let at = if at.trim() == "0s" { Duration::ZERO } else { span(at)? };
    Ok(Shape::Spike { base: base.parse()?, peak: peak.parse()?, at, lasts: span(lasts)?, length })
}

fn sine(rest: &str, whole: &str) -> Result<Shape, BadProfile> {
    let (mean, rest) =
        rest.split_once('±').or_else(|| rest.split_once("+-")).ok_or_else(|| form(whole, SINE))?;
    let (swing, rest) = rest.split_once('@').ok_or_else(|| form(whole, SINE))?;
    let (period, length) = with_total(rest)?;
    Ok(Shape::Sine { mean: mean.parse()?, swing: swing.parse()?, period: span(period)?, length })
}

fn with_total(text: &str) -> Result<(&str, Option<Duration>), BadProfile> {
    match text.split_once(',') {
        Some((first, total)) => Ok((first, Some(span(total)?))),
        None => Ok((text, None)),
    }
}

/// A duration longer than nothing.
pub(super) fn span(text: &str) -> Result<Duration, BadProfile> {
    parse_duration(text.trim())
        .ok()
        .filter(|span| !span.is_zero() && *span <= LONGEST)
        .ok_or_else(|| BadProfile::Duration(short(text)))
}

fn form(text: &str, form: &'static str) -> BadProfile {
    BadProfile::Form { text: short(text), form }
}

fn short(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

impl FromStr for Rate {
    type Err = BadProfile;

    fn from_str(text: &str) -> Result<Self, BadProfile> {
        let bad = || BadProfile::Rate(short(text));
        // A bare number is a second's, as in `--rate 200`.
        let (count, per) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let per = match per {
            "s" => Per::Second,
            "m" | "min" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(bad()),
        };
        // Plain decimals only: no sign, exponent or `inf`.
        if !count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(bad());
        }
        let rate = Self { count: count.parse().map_err(|_| bad())?, per };
        if rate.per_second() <= MOST_PER_SECOND { Ok(rate) } else { Err(bad()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => 's',
            Per::Minute => 'm',
            Per::Hour => 'h',
        };
        write!(f, "{}/{per}", self.count)
    }
}

impl FromStr for Profile {
    type Err = BadProfile;

    fn from_str(text: &str) -> Result<Self, BadProfile> {
        Self::parse(text)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = |f: &mut fmt::Formatter<'_>, mark: char, length: &Option<Duration>| match length
        {
            Some(length) => write!(f, "{mark}{}", format_duration(*length)),
            None => Ok(()),
        };
        match &self.shape {
            Shape::Constant { rate, length } => {
                write!(f, "{rate}")?;
                total(f, '@', length)
            }
            Shape::Poisson { rate, length } => {
                write!(f, "poisson:{rate}")?;
                total(f, '@', length)
            }
            Shape::Steps(steps) => {
                for (index, (rate, hold)) in steps.iter().enumerate() {
                    let mark = if index == 0 { "steps:" } else { "," };
                    write!(f, "{mark}{rate}@{}", format_duration(*hold))?;
                }
                Ok(())
            }
            Shape::Ramp { from, to, length } => {
                write!(f, "ramp:{from}..{to}@{}", format_duration(*length))
            }
            Shape::Spike { base, peak, at, lasts, length } => {
                write!(
                    f,
                    "spike:{base},{peak}@{}+{}",
                    format_duration(*at),
                    format_duration(*lasts)
                )?;
                total(f, ',', length)
            }
            Shape::Sine { mean, swing, period, length } => {
                write!(f, "sine:{mean}±{swing}@{}", format_duration(*period))?;
                total(f, ',', length)
            }
        }
    }
}
