//! Limits of memory and CPU, as numbers.

use tidegate_core::Quantity;
use tidegate_provider::{ProviderError, Resources};

/// A replica's limits, in numbers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Milli-cores.
    pub cpu: Option<u64>,
}

impl Limits {
    /// Reads what a user wrote.
    ///
    /// # Errors
    /// When it is no quantity, or nothing.
    pub fn read(written: Option<&Resources>) -> Result<Self, ProviderError> {
        let Some(written) = written else { return Ok(Self::default()) };
        let memory = amount("memory", written.memory.as_deref())?;
        let cpu = amount("cpu", written.cpu.as_deref())?;
        Ok(Self { memory: memory.map(Quantity::units), cpu: cpu.map(Quantity::millis) })
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

fn amount(what: &str, written: Option<&str>) -> Result<Option<Quantity>, ProviderError> {
    let Some(text) = written.filter(|text| !text.is_empty()) else { return Ok(None) };
    let quantity: Quantity =
        text.parse().map_err(|bad| ProviderError::Invalid(format!("{what}: {bad}")))?;
    if quantity.is_zero() {
        return Err(ProviderError::Invalid(format!("{what}: {text:?} must be more than nothing")));
    }
    Ok(Some(quantity))
}
