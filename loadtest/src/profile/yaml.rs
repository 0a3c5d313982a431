//! Profiles as YAML files: the one-line form as a string, or a map with `shape:` and named fields.

use serde::Deserialize;

use super::text::{parse as parse_line, span};
use super::{BadProfile, Rate, Shape};

#[derive(Deserialize)]
#[serde(tag = "shape", rename_all = "lowercase", deny_unknown_fields)]
enum File {
    Constant { rate: Written, length: Option<String> },
    Steps { steps: Vec<Step> },
    Ramp { from: Written, to: Written, length: String },
    Spike { base: Written, peak: Written, at: String, lasts: String, length: Option<String> },
    Poisson { rate: Written, length: Option<String> },
    Sine { mean: Written, swing: Written, period: String, length: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    rate: Written,
    hold: String,
}

/// A rate as written; YAML takes a bare number for one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Number(f64),
}

impl Written {
    fn rate(&self) -> Result<Rate, BadProfile> {
        match self {
            Self::Text(text) => text.parse(),
            Self::Number(number) => number.to_string().parse(),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Shape, BadProfile> {
    let bad = |error: serde_saphyr::Error| {
        BadProfile::Yaml(crate::targets::first_line(&error.to_string()))
    };
    // A map has a line `shape:`; all else is the line itself.
    if !text.lines().any(|line| line.trim_start().starts_with("shape")) {
        let line: String = serde_saphyr::from_str(text).map_err(bad)?;
        return parse_line(line.trim());
    }
    let total = |length: Option<String>| length.as_deref().map(span).transpose();
    Ok(match serde_saphyr::from_str(text).map_err(bad)? {
        File::Constant { rate, length } => {
            Shape::Constant { rate: rate.rate()?, length: total(length)? }
        }
        File::Poisson { rate, length } => {
            Shape::Poisson { rate: rate.rate()?, length: total(length)? }
        }
        File::Steps { steps } => Shape::Steps(
            steps
                .iter()
                .map(|step| Ok((step.rate.rate()?, span(&step.hold)?)))
                .collect::<Result<_, BadProfile>>()?,
        ),
        File::Ramp { from, to, length } => {
            Shape::Ramp { from: from.rate()?, to: to.rate()?, length: span(&length)? }
        }
        File::Spike { base, peak, at, lasts, length } => Shape::Spike {
            base: base.rate()?,
            peak: peak.rate()?,
            at: span(&at)?,
            lasts: span(&lasts)?,
            length: total(length)?,
        },
        File::Sine { mean, swing, period, length } => Shape::Sine {
            mean: mean.rate()?,
            swing: swing.rate()?,
            period: span(&period)?,
            length: total(length)?,
        },
    })
}
