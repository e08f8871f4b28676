use super::secret::Tag;

/// The sum of the MACs of a set of rows, modulo 2^256: it is brought up to date by what one row was and is, and says
/// whether the whole set is what it was (MSet-Add-Hash of Clarke et al., ASIACRYPT 2003). It never leaves the process
/// but under another MAC, so that nobody learns what one row adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    pub(super) fn add(&mut self, tag: &Tag) {
        let mut carry = false;
        for (sum, limb) in self.0.iter_mut().zip(limbs(tag)) {
            let (total, first) = sum.overflowing_add(limb);
            let (total, second) = total.overflowing_add(u64::from(carry));
            (*sum, carry) = (total, first || second);
        }
    }

    pub(super) fn take(&mut self, tag: &Tag) {
        let mut borrow = false;
        for (sum, limb) in self.0.iter_mut().zip(limbs(tag)) {
            let (rest, first) = sum.overflowing_sub(limb);
            let (rest, second) = rest.overflowing_sub(u64::from(borrow));
            (*sum, borrow) = (rest, first || second);
        }
    }

    pub(super) fn to_bytes(self) -> Tag {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }
}

fn limbs(tag: &Tag) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(tag.chunks_exact(8)) {
        // Chunks of eight are eight long.
        *limb = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum_of(tags: &[Tag]) -> Sum {
        let mut sum = Sum::default();
        tags.iter().for_each(|tag| sum.add(tag));
        sum
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(mut tags: Vec<Tag>) {
            let sum = sum_of(&tags);
            tags.reverse();
            prop_assert_eq!(sum_of(&tags), sum);
        }

        #[test]
        fn what_was_added_is_taken_away_again(tags: Vec<Tag>, one: Tag) {
            let mut sum = sum_of(&tags);
            sum.add(&one);
            sum.take(&one);
            prop_assert_eq!(sum, sum_of(&tags));
        }
    }

    #[test]
    fn carries_go_through_every_limb() {
        let mut sum = sum_of(&[[0xff; 32]]);
        let mut one = [0; 32];
        one[0] = 1;
        sum.add(&one);
        assert_eq!(sum, Sum::default());
        sum.take(&one);
        assert_eq!(sum.to_bytes(), [0xff; 32]);
    }
}
