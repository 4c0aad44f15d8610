//! A problem in a settings file: its place, the value found, and the value expected.

use std::fmt;

/// Whether a settings file with this problem can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; part of it has no effect.
    Warning,
}

/// One problem. Its text never contains a private or preshared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Error or warning.
    pub severity: Severity,
    /// The section in UCI notation, such as `main` or `@device[0]`; empty for a syntax error.
    pub section: String,
    /// The option, if the problem concerns one.
    pub option: Option<String>,
    /// Line in the file, from 1; 0 for the whole file.
    pub line: usize,
    /// The problem, then in parentheses the given value and the wanted one: `problem (got X, want Y)`.
    pub text: String,
}

impl SettingsProblem {
    /// The problem as one line of output: `PATH:LINE: section.option: text`, with `warning: ` before a warning's
    /// section.
    pub fn at<'a>(&'a self, path: &'a str) -> impl fmt::Display + 'a {
        struct Located<'a>(&'a SettingsProblem, &'a str);
        impl fmt::Display for Located<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Located(problem, path) = self;
                write!(f, "{path}:")?;
                if problem.line > 0 {
                    write!(f, "{}:", problem.line)?;
                }
                match problem.severity {
                    Severity::Error => write!(f, " {problem}"),
                    Severity::Warning => write!(f, " warning: {problem}"),
                }
            }
        }
        Located(self, path)
    }
}

impl fmt::Display for SettingsProblem {
    /// `section.option: text`, without the line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.option {
            Some(option) => write!(f, "{}.{option}: {}", self.section, self.text),
            None if self.section.is_empty() => f.write_str(&self.text),
            None => write!(f, "{}: {}", self.section, self.text),
        }
    }
}
