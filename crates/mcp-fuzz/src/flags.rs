//! How podman reads its command line: the rules of its flag library (spf13/pflag), and of its
//! flags those that MCP uses together with those that would do harm.

/// What podman would understand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Understood {
    /// Flags and their values, in order. A switch has the value `true`.
    pub(crate) flags: Vec<(String, String)>,
    /// Words that are not flags.
    pub(crate) words: Vec<String>,
}

/// A subcommand and its flags. `-x` beside a long name is its short form.
struct Subcommand {
    name: &'static [&'static str],
    /// Flags are taken anywhere before `--`; `run` takes them before the image only.
    anywhere: bool,
    switches: &'static [(&'static str, Option<char>)],
    valued: &'static [(&'static str, Option<char>)],
}

const SUBCOMMANDS: [Subcommand; 10] = [
    Subcommand {
        name: &["container", "inspect"],
        anywhere: true,
        switches: &[("size", Some('s'))],
        valued: &[("format", Some('f'))],
    },
    Subcommand {
        name: &["run"],
        anywhere: false,
        switches: &[
            ("detach", Some('d')),
            ("init", None),
            ("interactive", Some('i')),
            ("privileged", None),
            ("publish-all", Some('P')),
            ("read-only", None),
            ("replace", None),
            ("rm", None),
            ("rootfs", None),
            ("tty", Some('t')),
        ],
        valued: &[
            ("cap-add", None),
            ("device", None),
            ("entrypoint", None),
            ("env", Some('e')),
            ("env-file", None),
            ("hostname", Some('h')),
            ("label", Some('l')),
            ("mount", None),
            ("name", None),
            ("network", None),
            ("pid", None),
            ("publish", Some('p')),
            ("pull", None),
            ("restart", None),
            ("security-opt", None),
            ("stop-timeout", None),
            ("user", Some('u')),
            ("userns", None),
            ("volume", Some('v')),
            ("workdir", Some('w')),
        ],
    },
    Subcommand {
        name: &["ps"],
        anywhere: true,
        switches: &[
            ("all", Some('a')),
            ("external", None),
            ("no-trunc", None),
            ("quiet", Some('q')),
        ],
        valued: &[("filter", Some('f')), ("format", None)],
    },
    Subcommand {
        name: &["pull"],
        anywhere: true,
        switches: &[("all-tags", Some('a')), ("quiet", Some('q'))],
        valued: &[("creds", None), ("authfile", None)],
    },
    Subcommand {
        name: &["start"],
        anywhere: true,
        switches: &[("all", None), ("attach", Some('a'))],
        valued: &[("filter", Some('f'))],
    },
    Subcommand {
        name: &["stop"],
        anywhere: true,
        switches: &[("all", Some('a')), ("ignore", Some('i'))],
        valued: &[("time", Some('t')), ("filter", Some('f'))],
    },
    Subcommand {
        name: &["rm"],
        anywhere: true,
        switches: &[
            ("all", Some('a')),
            ("force", Some('f')),
            ("volumes", Some('v')),
        ],
        valued: &[("filter", None)],
    },
    Subcommand {
        name: &["rename"],
        anywhere: true,
        switches: &[],
        valued: &[],
    },
    Subcommand {
        name: &["logs"],
        anywhere: true,
        switches: &[("follow", Some('f'))],
        valued: &[("tail", None), ("since", None)],
    },
    Subcommand {
        name: &["events"],
        anywhere: true,
        switches: &[("stream", None)],
        valued: &[("format", None), ("filter", Some('f'))],
    },
];

/// Reads a command line as podman does; the words of the subcommand come first.
///
/// Panics where podman would refuse it: MCP writes no such line.
pub(crate) fn understand(args: &[String]) -> Understood {
    let of = |sub: &&Subcommand| {
        args.len() >= sub.name.len() && args.iter().zip(sub.name).all(|(a, b)| a == b)
    };
    let subcommand = SUBCOMMANDS
        .iter()
        .find(of)
        .unwrap_or_else(|| panic!("no such subcommand: {args:?}"));
    let mut understood = Understood::default();
    let mut rest = args[subcommand.name.len()..].iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            understood.words.extend(rest.cloned());
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            let flag = subcommand.long(long, &mut rest);
            understood.flags.push(flag);
        } else if arg.starts_with('-') && arg.len() > 1 {
            subcommand.short(&arg[1..], &mut rest, &mut understood.flags);
        } else {
            understood.words.push(arg.clone());
            if !subcommand.anywhere {
                understood.words.extend(rest.cloned());
                break;
            }
        }
    }
    understood
}

type Rest<'a> = std::slice::Iter<'a, String>;

impl Subcommand {
    fn long(&self, text: &str, rest: &mut Rest<'_>) -> (String, String) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let switch = self.switches.iter().any(|flag| flag.0 == name);
        let valued = self.valued.iter().any(|flag| flag.0 == name);
        assert!(switch || valued, "unknown flag --{name}");
        let value = match value {
            Some(value) => value,
            None if switch => "true".to_owned(),
            None => rest.next().expect("a flag has a value").clone(),
        };
        (name.to_owned(), value)
    }

    /// `-abc`: switches, up to one that takes a value; that takes the rest, or the next word.
    fn short(&self, cluster: &str, rest: &mut Rest<'_>, flags: &mut Vec<(String, String)>) {
        let mut letters = cluster.chars();
        while let Some(letter) = letters.next() {
            let find = |flags: &[(&str, Option<char>)]| {
                let found = flags.iter().find(|flag| flag.1 == Some(letter));
                found.map(|flag| flag.0.to_owned())
            };
            if let Some(name) = find(self.switches) {
                flags.push((name, "true".to_owned()));
                continue;
            }
            let name = find(self.valued).unwrap_or_else(|| panic!("unknown flag -{letter}"));
            let tail = letters.as_str();
            let value = match tail.strip_prefix('=').unwrap_or(tail) {
                "" => rest.next().expect("a flag has a value").clone(),
                value => value.to_owned(),
            };
            flags.push((name, value));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Understood {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        understand(&args)
    }

    fn expect(line: &str, flags: &[(&str, &str)], words: &[&str]) {
        let own = |text: &&str| (*text).to_owned();
        let expected = Understood {
            flags: flags.iter().map(|(n, v)| (own(n), own(v))).collect(),
            words: words.iter().map(own).collect(),
        };
        assert_eq!(read(line), expected, "{line}");
    }

    /// What podman 4.3 does with these lines.
    #[test]
    fn lines_are_read_as_podman_reads_them() {
        expect("rm -f -a", &[("force", "true"), ("all", "true")], &[]);
        expect("rm -fa x", &[("force", "true"), ("all", "true")], &["x"]);
        expect("rm -f -- -a", &[("force", "true")], &["-a"]);
        expect("rm x -a", &[("all", "true")], &["x"]);
        expect(
            "run -d img -v /:/x",
            &[("detach", "true")],
            &["img", "-v", "/:/x"],
        );
        expect("run -v /:/x img", &[("volume", "/:/x")], &["img"]);
        expect(
            "run -de A=b img",
            &[("detach", "true"), ("env", "A=b")],
            &["img"],
        );
        expect(
            "run --name --privileged img",
            &[("name", "--privileged")],
            &["img"],
        );
        expect(
            "run --name=--privileged -- -img",
            &[("name", "--privileged")],
            &["-img"],
        );
    }
}
