//! What is wrong with a settings file, where, and what is wanted instead.

use std::fmt;

/// Whether the file can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; something in it has no effect.
    Warning,
}

/// One finding. Its text never holds a private or preshared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Whether the file can still be used.
    pub severity: Severity,
    /// The section in UCI's own notation, `main` or `@device[0]`; empty where the file's syntax is broken.
    pub section: String,
    /// The option, where it is about one.
    pub option: Option<String>,
    /// Line of the file from 1; 0 for the file as a whole.
    pub line: usize,
    /// The problem, and in parentheses what was given and what is wanted.
    pub text: String,
}

impl SettingsProblem {
    /// This problem as one line of output: `PATH:LINE: section.option: text`; a warning says so before the section.
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
