//! Shell completion: the shipped files must be what this test generates from the commands' own `--help`, and both shells
//! must complete with them. `RENEW=1 cargo test --all-features --test completion` writes the files.

#![cfg(feature = "endpoint")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BASH: &str = "cross/debian/root/usr/share/bash-completion/completions/millpond";
const ZSH: &str = "cross/debian/root/usr/share/zsh/vendor-completions/_millpond";

/// Options whose value is a file, and those with a folder.
const FILES: [&str; 6] = ["--config", "--socket", "--ubus", "--guard-file", "--usage-file", "--output"];
const FOLDERS: [&str; 1] = ["--keys"];
/// The values of `advise --set`.
const LEVELS: &str = "saver balanced strict";
/// What takes the name of a home: options, and commands as their argument.
const HOME_OPTION: &str = "endpoint metrics --home";
const HOME_COMMANDS: [&str; 3] = ["endpoint remove-home", "endpoint rotate-keys", "endpoint finish-enrolment"];

/// One command as its `--help` describes it.
struct Help {
    /// The words after `millpond`; empty for the program.
    words: String,
    /// Name, whether a value follows, description.
    options: Vec<(String, bool, String)>,
    /// Names and descriptions of its commands.
    commands: Vec<(String, String)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn help(words: &str) -> Help {
    let arguments: Vec<&str> = words.split_whitespace().chain(["--help"]).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_millpond")).args(&arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let usage = text.lines().next().unwrap().to_owned();
    let mut help = Help { words: words.to_owned(), options: Vec::new(), commands: Vec::new() };
    for (name, description) in entries(&text, "Options:").into_iter().filter(|(name, _)| !name.starts_with("--help")) {
        let has_value = usage.contains(&format!("{name} <"));
        help.options.push((name, has_value, description));
    }
    help.commands = entries(&text, "Commands:");
    help
}

/// Names and descriptions in a section of a help text.
fn entries(text: &str, section: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let lines = text.lines().skip_while(|line| *line != section).skip(1);
    for line in lines.take_while(|line| line.starts_with("  ")) {
        if line.starts_with("   ") {
            let (_, description) = entries.last_mut().expect("a name before its description");
            description.push(' ');
            description.push_str(line.trim());
        } else {
            let (name, description) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            entries.push((name.to_owned(), description.trim().to_owned()));
        }
    }
    entries
}

/// The program, its commands and theirs.
fn all() -> Vec<Help> {
    let mut all = vec![help("")];
    let mut next = 0;
    while next < all.len() {
        let words: Vec<String> = all[next]
            .commands
            .iter()
            .map(|(name, _)| format!("{} {name}", all[next].words).trim().to_owned())
            .collect();
        all.extend(words.iter().map(|words| help(words)));
        next += 1;
    }
    all
}

/// The first sentence of a description, without what is in brackets.
fn short(description: &str) -> &str {
    let end = [". ", ": ", "; ", " (", ", such"].iter().filter_map(|end| description.find(end)).min();
    description[..end.unwrap_or(description.len())].trim_end_matches('.')
}

/// What follows an option of a command.
enum Value {
    None,
    File,
    Folder,
    Words(&'static str),
    Home,
    Other,
}

fn value(command: &str, (option, has_value, _): &(String, bool, String)) -> Value {
    match option.as_str() {
        _ if !has_value => Value::None,
        _ if format!("{command} {option}") == HOME_OPTION => Value::Home,
        "--set" => Value::Words(LEVELS),
        option if FILES.contains(&option) => Value::File,
        option if FOLDERS.contains(&option) => Value::Folder,
        _ => Value::Other,
    }
}

/// The names of the homes, one a line, from the command that lists them.
const HOMES: &str =
    r"millpond endpoint list-homes 2> /dev/null | sed 's/^[^ ]* *[^ ]* kbit\/s  [^ ]*  //; s/  (not joined yet)$//'";

fn bash(all: &[Help]) -> String {
    let mut text = format!(
        "# bash completion for millpond. tests/completion.rs generates this file from the commands' --help.

_millpond_homes() {{
	local name
	while IFS= read -r name; do
		[[ $name != \"$1\"* ]] || COMPREPLY+=(\"$(printf %q \"$name\")\")
	done < <({HOMES})
}}

_millpond() {{
	local cur=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command='' word words=''
	COMPREPLY=()
	for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
		[[ $word != -* ]] || break
		command+=${{command:+ }}$word
		[ \"$command\" = endpoint ] || break
	done
	case \"$command $previous\" in
"
    );
    let of_kind = |wanted: fn(&Value) -> bool| {
        let options = all.iter().flat_map(|help| help.options.iter().map(move |option| (help, option)));
        let found = options.filter(|(help, option)| wanted(&value(&help.words, option)));
        found.map(|(help, (name, ..))| format!("'{} {name}'", help.words)).collect::<Vec<_>>().join(" | ")
    };
    for (options, action) in [
        (of_kind(|value| matches!(value, Value::File)), "mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")".to_owned()),
        (
            of_kind(|value| matches!(value, Value::Folder)),
            "mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")".to_owned(),
        ),
        (
            of_kind(|value| matches!(value, Value::Words(_))),
            format!("mapfile -t COMPREPLY < <(compgen -W '{LEVELS}' -- \"$cur\")"),
        ),
        (of_kind(|value| matches!(value, Value::Home)), "_millpond_homes \"$cur\"".to_owned()),
        (of_kind(|value| matches!(value, Value::Other)), ":".to_owned()),
    ] {
        write!(text, "\t{options})\n\t\t{action}\n\t\treturn\n\t\t;;\n").unwrap();
    }
    text.push_str("\tesac\n\tcase $command in\n");
    for help in all {
        let words = help.commands.iter().map(|(name, _)| name.as_str());
        let words: Vec<&str> = words.chain(help.options.iter().map(|(name, ..)| name.as_str())).collect();
        writeln!(text, "\t'{}') words='{}' ;;", help.words, words.join(" ")).unwrap();
    }
    let homes = HOME_COMMANDS.map(|command| format!("'{command}'")).join(" | ");
    write!(
        text,
        "\tesac
	mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")
	case $command in
	{homes}) [[ $cur == -* ]] || _millpond_homes \"$cur\" ;;
	esac
}}

complete -F _millpond millpond
"
    )
    .unwrap();
    text
}

fn zsh(all: &[Help]) -> String {
    // A quoted word, in which the characters that _arguments and _describe read have a backslash.
    let quoted = |text: &str| {
        let escaped = text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        escaped.replace('\'', "'\\''")
    };
    let mut text = format!(
        "#compdef millpond
# zsh completion for millpond. tests/completion.rs generates this file from the commands' --help.

_millpond_homes() {{
	local -a names
	names=(\"${{(@f)$({HOMES})}}\")
	compadd -a names
}}
"
    );
    for help in all {
        let function = format!("_millpond {}", help.words).trim().replace([' ', '-'], "_");
        if help.commands.is_empty() {
            write!(text, "\n{function}() {{\n\t_arguments").unwrap();
            for option in &help.options {
                let (name, _, description) = option;
                let action = match value(&help.words, option) {
                    Value::None => String::new(),
                    Value::File => ":file:_files".to_owned(),
                    Value::Folder => ":folder:_files -/".to_owned(),
                    Value::Words(words) => format!(":value:({words})"),
                    Value::Home => ":home:_millpond_homes".to_owned(),
                    Value::Other => ":value: ".to_owned(),
                };
                write!(text, " \\\n\t\t'{name}[{}]{action}'", quoted(short(description))).unwrap();
            }
            if HOME_COMMANDS.contains(&help.words.as_str()) {
                text.push_str(" \\\n\t\t':home:_millpond_homes'");
            }
            text.push_str("\n}\n");
            continue;
        }
        write!(text, "\n{function}() {{\n\tlocal state line\n\tlocal -a commands\n\tcommands=(\n").unwrap();
        for (name, description) in &help.commands {
            writeln!(text, "\t\t'{name}:{}'", quoted(short(description))).unwrap();
        }
        text.push_str("\t)\n\t_arguments -C '1:command:->command' '*::argument:->argument'\n\tcase $state in\n");
        text.push_str("\tcommand) _describe command commands ;;\n");
        writeln!(
            text,
            "\targument) (( $+functions[{function}_${{line[1]//-/_}}] )) && {function}_${{line[1]//-/_}} ;;"
        )
        .unwrap();
        text.push_str("\tesac\n}\n");
    }
    text.push_str("\n_millpond \"$@\"\n");
    text
}

#[test]
fn the_shipped_completions_have_every_command_and_option() {
    let all = all();
    assert!(all.iter().map(|help| help.options.len()).sum::<usize>() > 60, "the help texts were not understood");
    for (path, text) in [(BASH, bash(&all)), (ZSH, zsh(&all))] {
        let file = root().join(path);
        if std::env::var_os("RENEW").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let shipped = fs::read_to_string(&file).unwrap_or_default();
        assert!(shipped == text, "{path} is not up to date: run RENEW=1 cargo test --all-features --test completion");
    }
}

/// A folder with an endpoint's settings and a `millpond` on PATH that uses them; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("millpond-completion-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("bin")).unwrap();
        let program = env!("CARGO_BIN_EXE_millpond");
        let shown = folder.display();
        let script = format!("exec {program} \"$@\" --config {shown}/millpond");
        fs::write(folder.join("bin/millpond"), format!("#!/bin/sh\n{script}\n")).unwrap();
        let make = format!(
            "set -e; chmod 755 {shown}/bin/millpond; cd {shown}
             {program} endpoint init --host vpn.example.org --anyway --no-start --config millpond --keys {shown}
             for name in 'maple street' \"o'hara\"; do
             {program} endpoint add-home \"$name\" --config millpond --socket nobody; done"
        );
        let output = Command::new("sh").args(["-c", &make]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Folder(folder)
    }

    fn path(&self) -> String {
        format!("{}/bin:{}", self.0.display(), std::env::var("PATH").unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// What bash completes the last word to.
fn completed(folder: &Folder, words: &[&str]) -> Vec<String> {
    let script = format!(
        ". {}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _millpond; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        root().join(BASH).display()
    );
    let mut command = Command::new("bash");
    let output = command.args(["-c", &script, "bash"]).args(words).env("PATH", folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_values_and_homes() {
    let folder = Folder::new("bash");
    let completed = |words: &[&str]| completed(&folder, words).join(" ");
    assert_eq!(completed(&["millpond", "re"]), "reload renew");
    assert_eq!(completed(&["millpond", "endpoint", "re"]), "remove-home");
    assert_eq!(completed(&["millpond", "endpoint", "add-home", "--max"]), "--max-download");
    assert_eq!(completed(&["millpond", "advise", "--set", "s"]), "saver strict");
    let settings = folder.0.join("millpond").display().to_string();
    let start = settings.strip_suffix("pond").unwrap();
    assert_eq!(completed(&["millpond", "check", "--config", start]), settings);
    assert_eq!(completed(&["millpond", "endpoint", "remove-home", "m"]), "maple\\ street");
    assert_eq!(completed(&["millpond", "endpoint", "metrics", "--home", "o"]), "o\\'hara");
    assert_eq!(completed(&["millpond", "endpoint", "add-home", "--days", ""]), "");
}

#[test]
fn zsh_completes_commands_options_and_homes() {
    if Command::new("zsh").arg("--version").output().is_err() {
        println!("skipped zsh_completes_commands_options_and_homes: zsh is not installed");
        return;
    }
    let folder = Folder::new("zsh");
    let functions = root().join(ZSH);
    // Types into an interactive shell on a pseudo-terminal until it shows the completed word, then deletes the line. The
    // shell knows only zsh's basic functions besides, because reading all of them takes long.
    let script = format!(
        "zmodload zsh/zpty; zpty shell 'TERM=dumb zsh -f -i'
         zpty -w shell 'fpath=({} ${{(M)fpath:#*/Completion}} ${{(M)fpath:#*/Completion/Base}})'
         zpty -w shell 'autoload -U compinit; compinit -u -D; bindkey \"^I\" complete-word; PS1=; echo re\"\"ady'
         zpty -r -m shell all '*ready*'
         for typed shown in \"$@\"; do
           print -r -- \"$typed\"
           zpty -w -n shell $typed$'\\t'
           zpty -r -m shell all \"*${{(b)shown}}*\"
           zpty -w -n shell $'\\C-u'
         done
         zpty -d shell",
        functions.parent().unwrap().display()
    );
    let cases = [
        ["millpond rel", "reload"],
        ["millpond endpoint rem", "remove-home"],
        ["millpond endpoint add-home --max", "--max-download"],
        ["millpond advise --set b", "balanced"],
        ["millpond endpoint remove-home m", "maple\\ street"],
    ];
    let mut command = Command::new("timeout");
    command.args(["60", "zsh", "-f", "-c", &script, "zsh"]).args(cases.as_flattened());
    let output = command.env("PATH", folder.path()).output().unwrap();
    let typed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "the last of these was not completed:\n{typed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(typed.lines().count(), cases.len(), "{typed}");
}
