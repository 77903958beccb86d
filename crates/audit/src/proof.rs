//! Which parts of the tree a consistency proof consists of (RFC 6962 section 2.1.2), as ranges of leaves.

use std::ops::Range;

/// A perfect subtree: `height` 0 is a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) height: u32,
    pub(crate) index: u64,
}

/// The proof that the tree of `new` leaves continues that of `old`, which is neither 0 nor more than `new`: the roots
/// of the subtrees over these leaves, in this order.
pub(crate) fn ranges(old: u64, new: u64) -> Vec<Range<u64>> {
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, new);
    // Whether the subtree in hand is the old tree itself, whose root the verifier knows.
    let mut known = true;
    while old > start && old < end {
        let middle = start + largest_power_below(end - start);
        if old <= middle {
            proof.push(middle..end);
            end = middle;
        } else {
            proof.push(start..middle);
            start = middle;
            known = false;
        }
    }
    if !known {
        proof.push(start..end);
    }
    proof.reverse();
    proof
}

/// The perfect subtrees that a range of a proof falls into, from the left.
pub(crate) fn perfect(mut range: Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    while range.start < range.end {
        let height = (range.end - range.start).ilog2();
        nodes.push(Node {
            height,
            index: range.start >> height,
        });
        range.start += 1 << height;
    }
    nodes
}

/// The largest power of two that is less than `size`, which is at least 2.
fn largest_power_below(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_those_that_the_rfc_shows() {
        // RFC 6962 section 2.1.3: PROOF(3, D[7]) = [c, d, g, l], PROOF(4, D[7]) = [l], PROOF(6, D[7]) = [i, j, k].
        assert_eq!(ranges(3, 7), [2..3, 3..4, 0..2, 4..7]);
        assert_eq!(ranges(4, 7), vec![Range { start: 4, end: 7 }]);
        assert_eq!(ranges(6, 7), [4..6, 6..7, 0..4]);
        assert_eq!(ranges(7, 7), []);
    }

    #[test]
    fn a_range_is_covered_by_its_perfect_subtrees() {
        let nodes = [
            Node {
                height: 1,
                index: 2,
            },
            Node {
                height: 0,
                index: 6,
            },
        ];
        assert_eq!(perfect(4..7), nodes);
        assert_eq!(
            perfect(0..256),
            [Node {
                height: 8,
                index: 0
            }]
        );
    }
}
