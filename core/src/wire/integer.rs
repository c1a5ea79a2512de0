//! Whole numbers as JSON writes them, of any size and in any notation.

/// A JSON number without a fractional part: `7`, `7.0`, `70e-1` and `18446744073709551617` alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Integer {
    negative: bool,
    /// Nothing where it is too large.
    magnitude: Option<u64>,
}

impl Integer {
    /// Reads a number token; nothing where it is no number or has a fractional part.
    pub(crate) fn read(token: &str) -> Option<Self> {
        let (negative, unsigned) = token
            .strip_prefix('-')
            .map_or((false, token), |unsigned| (true, unsigned));
        if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits = || whole.bytes().chain(fraction.bytes());
        if !digits().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        if digits().all(|digit| digit == b'0') {
            return Some(Self {
                negative: false,
                magnitude: Some(0),
            });
        }
        let shift = read_exponent(exponent)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if shift >= 0 {
            let magnitude = fold(digits()).and_then(|value| {
                10_u64
                    .checked_pow(u32::try_from(shift).ok()?)?
                    .checked_mul(value)
            });
            return Some(Self {
                negative,
                magnitude,
            });
        }
        // Only trailing zeros may be shifted out, and a fraction ends in none by now.
        let dropped = usize::try_from(shift.unsigned_abs()).ok()?;
        let kept = whole.len().checked_sub(dropped)?;
        if !fraction.is_empty() || !whole.bytes().skip(kept).all(|digit| digit == b'0') {
            return None;
        }
        Some(Self {
            negative,
            magnitude: fold(whole.bytes().take(kept)),
        })
    }

    /// The value, where it is neither negative nor too large.
    pub(crate) fn to_u64(self) -> Option<u64> {
        if self.negative { None } else { self.magnitude }
    }

    /// The value, where it fits.
    pub(crate) fn to_i64(self) -> Option<i64> {
        let magnitude = self.magnitude?;
        if self.negative {
            0_i64.checked_sub_unsigned(magnitude)
        } else {
            magnitude.try_into().ok()
        }
    }
}

/// Reads what follows the `e`; what is too large to count is the largest.
fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value = fold(digits.bytes())
        .and_then(|value| i64::try_from(value).ok())
        .unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

fn fold(mut digits: impl Iterator<Item = u8>) -> Option<u64> {
    digits.try_fold(0_u64, |value, digit| {
        value
            .checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_notation_of_a_whole_number_reads_as_that_number() {
        for token in [
            "70", "70.0", "7e1", "7E+1", "0.7e2", "700e-1", "70.00e0", "7.0e1",
        ] {
            assert_eq!(Integer::read(token).unwrap().to_u64(), Some(70), "{token}");
            let negative = Integer::read(&format!("-{token}")).unwrap();
            assert_eq!(
                (negative.to_u64(), negative.to_i64()),
                (None, Some(-70)),
                "{token}"
            );
        }
        for token in ["0", "-0", "0.0", "-0.0e5", "0e-999999999999999999999"] {
            assert_eq!(Integer::read(token).unwrap().to_u64(), Some(0), "{token}");
        }
    }

    #[test]
    fn fractions_and_other_tokens_are_no_integers() {
        for token in [
            "1.5", "1e-1", "15e-1", "1.05e1", "105e-2", "", "-", "e1", "1e", "\"1\"", "null", "1x",
            "+1",
        ] {
            assert_eq!(Integer::read(token), None, "{token:?}");
        }
        assert_eq!(Integer::read("1e-99999999999999999999"), None);
    }

    #[test]
    fn numbers_too_large_are_integers_without_a_value() {
        for token in [
            "18446744073709551616",
            "1e400",
            "1e99999999999999999999",
            "1.5e30",
        ] {
            let integer = Integer::read(token).unwrap();
            assert_eq!(
                (integer.to_u64(), integer.to_i64()),
                (None, None),
                "{token}"
            );
        }
        assert_eq!(
            Integer::read("18446744073709551615").unwrap().to_u64(),
            Some(u64::MAX)
        );
        assert_eq!(Integer::read("9223372036854775808").unwrap().to_i64(), None);
        assert_eq!(
            Integer::read("-9223372036854775808").unwrap().to_i64(),
            Some(i64::MIN)
        );
    }

    proptest! {
        #[test]
        fn decimal_notation_round_trips(value: i64) {
            prop_assert_eq!(Integer::read(&value.to_string()).unwrap().to_i64(), Some(value));
            prop_assert_eq!(Integer::read(&format!("{value}.0")).unwrap().to_i64(), Some(value));
        }

        #[test]
        fn any_text_is_read_without_panic(token in "-?[0-9.eE+-]{0,24}") {
            let _read = Integer::read(&token);
        }
    }
}
