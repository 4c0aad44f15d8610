//! A random forest (L. Breiman, 2001) on binned features, with the same weight for every class.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::Dataset;

/// Each feature has at most this many bins, separated at quantiles; a split lies between two bins.
const BINS: usize = 64;

/// Hyperparameters of a forest.
#[derive(Clone, Copy, Debug)]
pub struct ForestParams {
    /// Number of trees.
    pub trees: usize,
    /// Maximum number of splits on a path from root to leaf.
    pub depth: usize,
    /// Minimum number of observations in a leaf.
    pub leaf: usize,
    /// Maximum number of observations in the bootstrap sample of a tree, the same number from every class.
    pub draws: usize,
}

impl Default for ForestParams {
    fn default() -> ForestParams {
        ForestParams { trees: 60, depth: 14, leaf: 1, draws: 20_000 }
    }
}

/// A trained forest.
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
    /// Trains a forest on a dataset with at least one row. The same dataset and seed give the same forest.
    pub fn train(dataset: &Dataset, params: ForestParams, seed: u64) -> RandomForest {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let features = dataset.rows.first().map_or(0, Vec::len);
        let cuts: Vec<Vec<f32>> = (0..features).map(|feature| cuts(dataset, feature)).collect();
        let binned: Vec<Vec<u8>> = dataset.rows.iter().map(|row| bins(&cuts, row)).collect();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); dataset.classes.len()];
        for (row, &label) in dataset.labels.iter().enumerate() {
            members[label].push(row);
        }
        members.retain(|rows| !rows.is_empty());
        let per_class = params.draws.min(dataset.rows.len()).div_ceil(members.len().max(1));
        let mut builder =
            TreeBuilder { dataset, binned, params, features, rng: ChaCha8Rng::seed_from_u64(rng.random()) };
        let trees = (0..params.trees).map(|_| builder.tree(&members, per_class)).collect();
        RandomForest { cuts, trees, classes: dataset.classes.len() }
    }

    /// The share of the votes that each class gets; the shares add up to 1.
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

    /// The class with the largest share of the votes.
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
    dataset: &'a Dataset,
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

    /// Appends the node for these rows and all nodes below it, and returns its index.
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
        let mut counts = vec![0; self.dataset.classes.len()];
        for &row in rows {
            counts[self.dataset.labels[row]] += 1;
        }
        counts
    }

    /// The split with the lowest Gini impurity among a random selection of features (the square root of their number);
    /// `None` if no split reduces the impurity.
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
                histogram[usize::from(self.binned[row][feature]) * classes + self.dataset.labels[row]] += 1;
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

/// Moves the rows that fulfil the condition to the front and returns their number.
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

/// Values that divide a sample of the feature into at most [`BINS`] bins of equal size.
fn cuts(dataset: &Dataset, feature: usize) -> Vec<f32> {
    let step = (dataset.rows.len() / 20_000).max(1);
    let mut values: Vec<f32> = dataset.rows.iter().step_by(step).map(|row| row[feature]).collect();
    values.sort_unstable_by(f32::total_cmp);
    let mut cuts: Vec<f32> = (1..BINS).map(|part| values[part * (values.len() - 1) / BINS]).collect();
    cuts.dedup();
    cuts
}

fn bins(cuts: &[Vec<f32>], row: &[f32]) -> Vec<u8> {
    cuts.iter().zip(row).map(|(cuts, value)| cuts.partition_point(|cut| cut < value) as u8).collect()
}
