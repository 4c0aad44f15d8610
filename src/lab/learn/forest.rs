//! A random forest (L. Breiman, 2001) over binned features, with equal weight for every class.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::Dataset;

/// Features are cut at so many quantiles; a split is one of these cuts.
const BINS: usize = 64;

/// How trees grow.
#[derive(Clone, Copy, Debug)]
pub struct ForestParams {
    /// How many.
    pub trees: usize,
    /// A path has at most so many splits.
    pub depth: usize,
    /// A leaf keeps at least so many observations.
    pub leaf: usize,
    /// Each tree draws at most so many observations, an equal share from every class.
    pub draws: usize,
}

impl Default for ForestParams {
    fn default() -> ForestParams {
        ForestParams { trees: 60, depth: 14, leaf: 1, draws: 20_000 }
    }
}

/// A grown forest.
pub struct RandomForest {
    cuts: Vec<Vec<f32>>,
    trees: Vec<DecisionTree>,
    classes: usize,
}

#[derive(Default)]
struct DecisionTree {
    nodes: Vec<Node>,
}

enum Node {
    Split { feature: usize, up_to: u8, left: usize, right: usize },
    Leaf { shares: Vec<f32> },
}

impl RandomForest {
    /// Grows a forest from a table with at least one row; the same for the same table and seed.
    pub fn train(table: &Dataset, params: ForestParams, seed: u64) -> RandomForest {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let features = table.rows.first().map_or(0, Vec::len);
        let cuts: Vec<Vec<f32>> = (0..features).map(|feature| cuts(table, feature)).collect();
        let binned: Vec<Vec<u8>> = table.rows.iter().map(|row| bins(&cuts, row)).collect();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); table.classes.len()];
        for (row, &label) in table.labels.iter().enumerate() {
            members[label].push(row);
        }
        members.retain(|rows| !rows.is_empty());
        let per_class = params.draws.min(table.rows.len()).div_ceil(members.len().max(1));
        let mut builder = TreeBuilder { table, binned, params, features, rng: ChaCha8Rng::seed_from_u64(rng.random()) };
        let trees = (0..params.trees).map(|_| builder.tree(&members, per_class)).collect();
        RandomForest { cuts, trees, classes: table.classes.len() }
    }

    /// The share of votes for each class; they add up to 1.
    pub fn vote_shares(&self, row: &[f32]) -> Vec<f32> {
        let row = bins(&self.cuts, row);
        let mut sum = vec![0.0; self.classes];
        for tree in &self.trees {
            for (sum, share) in sum.iter_mut().zip(tree.shares(&row)) {
                *sum += share / self.trees.len() as f32;
            }
        }
        sum
    }

    /// The class with the largest share of votes.
    pub fn predict(&self, row: &[f32]) -> usize {
        let shares = self.vote_shares(row);
        (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b]).then(b.cmp(&a))).unwrap_or(0)
    }
}

impl DecisionTree {
    fn shares(&self, row: &[u8]) -> &[f32] {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Split { feature, up_to, left, right } => {
                    at = if row[*feature] <= *up_to { *left } else { *right }
                }
                Node::Leaf { shares } => return shares,
            }
        }
    }
}

struct TreeBuilder<'a> {
    table: &'a Dataset,
    binned: Vec<Vec<u8>>,
    params: ForestParams,
    features: usize,
    rng: ChaCha8Rng,
}

impl TreeBuilder<'_> {
    fn tree(&mut self, members: &[Vec<usize>], per_class: usize) -> DecisionTree {
        let mut drawn = Vec::with_capacity(per_class * members.len());
        for rows in members {
            drawn.extend((0..per_class).map(|_| rows[self.rng.random_range(0..rows.len())]));
        }
        let mut tree = DecisionTree::default();
        self.node(&mut tree, &mut drawn, 0);
        tree
    }

    /// Appends the node for these rows and all below it; gives its index.
    fn node(&mut self, tree: &mut DecisionTree, rows: &mut [usize], depth: usize) -> usize {
        let counts = self.counts(rows);
        let at = tree.nodes.len();
        let pure = counts.iter().filter(|&&count| count > 0).count() <= 1;
        let split = if pure || depth == self.params.depth { None } else { self.best_split(rows, &counts) };
        let shares = counts.iter().map(|&count| count as f32 / rows.len().max(1) as f32).collect();
        tree.nodes.push(Node::Leaf { shares });
        if let Some((feature, up_to)) = split {
            let middle = partition(rows, |&row| self.binned[row][feature] <= up_to);
            let (low, high) = rows.split_at_mut(middle);
            let left = self.node(tree, low, depth + 1);
            let right = self.node(tree, high, depth + 1);
            tree.nodes[at] = Node::Split { feature, up_to, left, right };
        }
        at
    }

    fn counts(&self, rows: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.table.classes.len()];
        for &row in rows {
            counts[self.table.labels[row]] += 1;
        }
        counts
    }

    /// The cut with the least Gini impurity among a square root of all features; `None` if none helps.
    fn best_split(&mut self, rows: &[usize], counts: &[usize]) -> Option<(usize, u8)> {
        let classes = counts.len();
        let tried = (self.features as f64).sqrt().ceil() as usize;
        let squares = |counts: &[usize]| counts.iter().map(|&c| (c * c) as f64).sum::<f64>();
        let mut best = (squares(counts) / rows.len() as f64 + 1e-9, None);
        let mut histogram = vec![0usize; BINS * classes];
        for _ in 0..tried {
            let feature = self.rng.random_range(0..self.features);
            histogram.fill(0);
            for &row in rows {
                histogram[usize::from(self.binned[row][feature]) * classes + self.table.labels[row]] += 1;
            }
            let mut low = vec![0usize; classes];
            let mut high = counts.to_vec();
            let (mut below, mut above) = (0, rows.len());
            for (bin, here) in histogram.chunks(classes).enumerate() {
                for class in 0..classes {
                    low[class] += here[class];
                    high[class] -= here[class];
                    below += here[class];
                    above -= here[class];
                }
                if below < self.params.leaf || above < self.params.leaf || below == 0 || above == 0 {
                    continue;
                }
                let purity = squares(&low) / below as f64 + squares(&high) / above as f64;
                if purity > best.0 {
                    best = (purity, Some((feature, bin as u8)));
                }
            }
        }
        best.1
    }
}

/// Moves the rows that pass to the front; gives their number.
fn partition(rows: &mut [usize], passes: impl Fn(&usize) -> bool) -> usize {
    let mut front = 0;
    for at in 0..rows.len() {
        if passes(&rows[at]) {
            rows.swap(at, front);
            front += 1;
        }
    }
    front
}

/// Values of the feature that part its sample into at most [`BINS`] equal parts.
fn cuts(table: &Dataset, feature: usize) -> Vec<f32> {
    let step = (table.rows.len() / 20_000).max(1);
    let mut values: Vec<f32> = table.rows.iter().step_by(step).map(|row| row[feature]).collect();
    values.sort_unstable_by(f32::total_cmp);
    let mut cuts: Vec<f32> = (1..BINS).map(|part| values[part * (values.len() - 1) / BINS]).collect();
    cuts.dedup();
    cuts
}

fn bins(cuts: &[Vec<f32>], row: &[f32]) -> Vec<u8> {
    cuts.iter().zip(row).map(|(cuts, value)| cuts.partition_point(|cut| cut < value) as u8).collect()
}
