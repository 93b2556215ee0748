//! The pattern-matching machine of Aho and Corasick: one pass over the text finds all patterns, however many there are.

use std::collections::{BTreeSet, VecDeque};

use zeroize::Zeroize as _;

/// The state before the first byte.
pub(super) const ROOT: u32 = 0;

/// A trie over all patterns, with links from each state to the longest other prefix that ends the same way.
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// The root's children by byte, for speed; 0 where there is none.
    first: Box<[u32; 256]>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    byte: u8,
    /// First child and next sibling; 0 where there is none (the root is nobody's child).
    child: u32,
    sibling: u32,
    fail: u32,
    depth: u32,
    /// Length of the longest pattern that ends here.
    matched: u32,
}

impl Automaton {
    pub(super) fn new(patterns: &BTreeSet<Vec<u8>>) -> Self {
        let mut automaton = Self { nodes: vec![Node::default()], first: Box::new([0; 256]) };
        for pattern in patterns {
            automaton.insert(pattern);
        }
        automaton.link();
        automaton
    }

    fn insert(&mut self, pattern: &[u8]) {
        let mut at = ROOT;
        for &byte in pattern {
            at = match self.child(at, byte) {
                Some(next) => next,
                None => self.grow(at, byte),
            };
        }
        self.nodes[at as usize].matched = pattern.len() as u32;
    }

    fn grow(&mut self, parent: u32, byte: u8) -> u32 {
        let new = self.nodes.len() as u32;
        let Node { child, depth, .. } = self.nodes[parent as usize];
        self.nodes.push(Node { byte, sibling: child, depth: depth + 1, ..Node::default() });
        self.nodes[parent as usize].child = new;
        if parent == ROOT {
            self.first[byte as usize] = new;
        }
        new
    }

    /// Sets the failure links, breadth first, so that a link always leads to a finished state.
    fn link(&mut self) {
        let mut queue: VecDeque<u32> = self.children(ROOT).collect();
        while let Some(at) = queue.pop_front() {
            let fail = self.nodes[at as usize].fail;
            let inherited = self.nodes[fail as usize].matched;
            let node = &mut self.nodes[at as usize];
            node.matched = node.matched.max(inherited);
            let children: Vec<u32> = self.children(at).collect();
            for child in children {
                let byte = self.nodes[child as usize].byte;
                self.nodes[child as usize].fail = self.next(fail, byte);
                queue.push_back(child);
            }
        }
    }

    fn children(&self, parent: u32) -> impl Iterator<Item = u32> + '_ {
        let first = Some(self.nodes[parent as usize].child).filter(|c| *c != 0);
        std::iter::successors(first, |c| Some(self.nodes[*c as usize].sibling).filter(|s| *s != 0))
    }

    fn child(&self, parent: u32, byte: u8) -> Option<u32> {
        if parent == ROOT {
            return Some(self.first[byte as usize]).filter(|c| *c != 0);
        }
        self.children(parent).find(|c| self.nodes[*c as usize].byte == byte)
    }

    /// The state after `byte`.
    pub(super) fn next(&self, state: u32, byte: u8) -> u32 {
        let mut at = state;
        loop {
            match self.child(at, byte) {
                Some(next) => return next,
                None if at == ROOT => return ROOT,
                None => at = self.nodes[at as usize].fail,
            }
        }
    }

    /// Whether a pattern begins with `byte`.
    pub(super) fn begins(&self, byte: u8) -> bool {
        self.first[byte as usize] != 0
    }

    /// How many of the last bytes may be the beginning of a pattern.
    pub(super) fn depth(&self, state: u32) -> usize {
        self.nodes[state as usize].depth as usize
    }

    /// The length of the longest pattern that ends at this state; 0 if none does.
    pub(super) fn longest_match(&self, state: u32) -> usize {
        self.nodes[state as usize].matched as usize
    }
}

impl Drop for Automaton {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.byte.zeroize();
        }
    }
}
