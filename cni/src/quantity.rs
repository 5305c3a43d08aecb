//! Quantities of Kubernetes: `10M`, `1.5Gi`, `2e6`.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`, grammar of `Quantity`.

use crate::error::{CniError, Code};

/// Digits that fit whatever the suffix.
const DIGITS_MAX: usize = 18;

/// The whole number that a quantity stands for, rounded up as `Quantity.Value()` does; `what` names it in the error.
pub fn parse(text: &str, what: &str) -> Result<u64, CniError> {
    value(text.trim()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, format!("{what}: {text:?} is no quantity"))
            .because("it must be a number that is not negative and fits 64 bits, such as 10M, 1.5Gi or 2e6")
    })
}

fn value(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > DIGITS_MAX || fraction.contains('.') {
        return None;
    }
    let decimals = u32::try_from(fraction.len()).ok()?;
    let (times, exponent) = scale(suffix)?;
    let numerator = digits
        .parse::<u128>()
        .ok()?
        .checked_mul(times)?
        .checked_mul(10_u128.checked_pow(exponent.max(0).unsigned_abs())?)?;
    let divisor = 10_u128.checked_pow(decimals + exponent.min(0).unsigned_abs())?;
    u64::try_from(numerator.div_ceil(divisor)).ok()
}

/// The factor and the power of ten of a suffix.
fn scale(suffix: &str) -> Option<(u128, i32)> {
    let binary = |power: u32| (1_u128 << (10 * power), 0);
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|power| power.abs() <= 18)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_quantity_is_read() {
        for (text, expected) in [
            ("0", 0),
            ("10M", 10_000_000),
            ("1.5Gi", 1_610_612_736),
            ("2e6", 2_000_000),
            ("2E3", 2_000),
            ("1500m", 2),
            ("1P", 1_000_000_000_000_000),
            (".5k", 500),
            ("+7", 7),
            ("5e-1", 1),
        ] {
            assert_eq!(parse(text, "x").unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_its_text() {
        for text in ["", "M", "-1M", "1MB", "1 M", "1.2.3", "1e99", "99999999999999999999", "20E", "."] {
            let error = parse(text, "annotation a").unwrap_err();
            assert!(
                error.msg.contains("annotation a") && error.msg.contains(&format!("{text:?}")),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.eEkMGTPKinum+-]{0,24}") {
            prop_assert!(parse(&text, "x").err().is_none_or(|error| error.code == Code::InvalidConfig));
        }

        #[test]
        fn a_plain_number_is_itself(number in 0..1_000_000_000_000_000_000_u64) {
            prop_assert_eq!(parse(&number.to_string(), "x").unwrap(), number);
        }
    }
}
