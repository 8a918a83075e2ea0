//! Numbers below a bound, each as likely as every other, from random bytes.

use zeroize::Zeroizing;

use super::PasswordError;

/// Bytes asked for at a time.
const CHUNK: usize = 64;
/// Bytes refused in a row at most. A working source passes each with more than even odds.
const MAX_REFUSED: usize = 1000;

/// Draws numbers. What it read and did not use yet is zeroed on drop.
pub(super) struct Uniform<F> {
    fill: F,
    bytes: Zeroizing<[u8; CHUNK]>,
    used: usize,
}

impl<F: FnMut(&mut [u8]) -> Result<(), PasswordError>> Uniform<F> {
    pub(super) fn new(fill: F) -> Self {
        Uniform { fill, bytes: Zeroizing::new([0; CHUNK]), used: CHUNK }
    }

    /// A number below `bound`, which is 1 to 256.
    pub(super) fn below(&mut self, bound: usize) -> Result<usize, PasswordError> {
        debug_assert!((1..=256).contains(&bound));
        // Bytes from the last, incomplete round of the bound would make small numbers likelier: they are drawn again.
        let whole_rounds = 256 - 256 % bound;
        for _ in 0..MAX_REFUSED {
            let byte = usize::from(self.byte()?);
            if byte < whole_rounds {
                return Ok(byte % bound);
            }
        }
        Err(PasswordError::Unlucky)
    }

    fn byte(&mut self) -> Result<u8, PasswordError> {
        if self.used == CHUNK {
            (self.fill)(&mut *self.bytes)?;
            self.used = 0;
        }
        self.used += 1;
        Ok(self.bytes[self.used - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over all 256 bytes, several times, each number below the bound comes equally often: the proof, not a sample.
    #[test]
    fn every_number_comes_equally_often() {
        const ROUNDS: usize = 5;
        for bound in 1..=256_usize {
            let mut counts = vec![0; bound];
            let mut next = 0_u8;
            let mut uniform = Uniform::new(|bytes: &mut [u8]| {
                for byte in bytes {
                    *byte = next;
                    next = next.wrapping_add(1);
                }
                Ok(())
            });
            let each = 256 / bound;
            for _ in 0..ROUNDS * each * bound {
                counts[uniform.below(bound).expect("the bytes pass")] += 1;
            }
            assert!(counts.iter().all(|&count| count == ROUNDS * each), "bound {bound}: {counts:?}");
        }
    }

    #[test]
    fn a_source_that_hangs_is_an_error() {
        let mut uniform = Uniform::new(|bytes: &mut [u8]| {
            bytes.fill(255);
            Ok(())
        });
        assert_eq!(uniform.below(3), Err(PasswordError::Unlucky));
    }
}
