//! Profiles as YAML files: the one-line form as a string, or a map with `shape:` and named fields.

use serde::Deserialize;

use super::text::{parse as parse_line, span};
use super::{BadProfile, Shape};

#[derive(Deserialize)]
#[serde(tag = "shape", rename_all = "lowercase", deny_unknown_fields)]
enum File {
    Constant { rate: String, length: Option<String> },
    Steps { steps: Vec<Step> },
    Ramp { from: String, to: String, length: String },
    Spike { base: String, peak: String, at: String, lasts: String, length: Option<String> },
    Poisson { rate: String, length: Option<String> },
    Sine { mean: String, swing: String, period: String, length: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    rate: String,
    hold: String,
}

pub(super) fn parse(text: &str) -> Result<Shape, BadProfile> {
    let bad = |error: serde_saphyr::Error| BadProfile::Yaml(error.to_string());
    // A map has a line `shape:`; all else is the line itself.
    if !text.lines().any(|line| line.trim_start().starts_with("shape")) {
        let line: String = serde_saphyr::from_str(text).map_err(bad)?;
        return parse_line(line.trim());
    }
    let total = |length: Option<String>| length.as_deref().map(span).transpose();
    Ok(match serde_saphyr::from_str(text).map_err(bad)? {
        File::Constant { rate, length } => {
            Shape::Constant { rate: rate.parse()?, length: total(length)? }
        }
        File::Poisson { rate, length } => {
            Shape::Poisson { rate: rate.parse()?, length: total(length)? }
        }
        File::Steps { steps } => Shape::Steps(
            steps
                .iter()
                .map(|step| Ok((step.rate.parse()?, span(&step.hold)?)))
                .collect::<Result<_, BadProfile>>()?,
        ),
        File::Ramp { from, to, length } => {
            Shape::Ramp { from: from.parse()?, to: to.parse()?, length: span(&length)? }
        }
        File::Spike { base, peak, at, lasts, length } => Shape::Spike {
            base: base.parse()?,
            peak: peak.parse()?,
            at: span(&at)?,
            lasts: span(&lasts)?,
            length: total(length)?,
        },
        File::Sine { mean, swing, period, length } => Shape::Sine {
            mean: mean.parse()?,
            swing: swing.parse()?,
            period: span(&period)?,
            length: total(length)?,
        },
    })
}
