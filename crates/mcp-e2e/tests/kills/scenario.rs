//! The operations, in an order in which each finds what it needs.

/// One operation in one situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// A deploy where nothing was.
    FirstDeploy,
    /// A deploy over a running container.
    Replacement,
    /// A deploy whose container does not come up: the old one is brought back.
    Restore,
    Restart,
    Stop,
    Start,
    Undeploy,
}

/// What there must be once an operation has come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome<'a> {
    /// The operation's state.
    pub(crate) state: &'a str,
    /// The state of the container; `None` where there is to be none.
    pub(crate) container: Option<&'a str>,
    /// It is the container of before.
    pub(crate) same: bool,
    /// How often the component's containers were made, and how often started.
    pub(crate) made: usize,
    pub(crate) started: usize,
}

impl Scenario {
    pub(crate) const ALL: [Self; 7] = [
        Self::FirstDeploy,
        Self::Replacement,
        Self::Restore,
        Self::Restart,
        Self::Stop,
        Self::Start,
        Self::Undeploy,
    ];

    /// What the operator types.
    pub(crate) fn command(self) -> &'static [&'static str] {
        match self {
            Self::FirstDeploy | Self::Replacement | Self::Restore => &["deploy", "hello"],
            Self::Restart => &["restart", "hello"],
            Self::Stop => &["stop", "hello"],
            Self::Start => &["start", "hello"],
            Self::Undeploy => &["sync", "--prune", "--yes"],
        }
    }

    pub(crate) fn outcome(self) -> Outcome<'static> {
        let running = Outcome {
            state: "succeeded",
            container: Some("running"),
            same: true,
            made: 0,
            started: 1,
        };
        match self {
            Self::FirstDeploy | Self::Replacement => Outcome {
                same: false,
                made: 1,
                ..running
            },
            Self::Restore => Outcome {
                state: "failed",
                made: 1,
                started: 2,
                ..running
            },
            Self::Restart | Self::Start => running,
            Self::Stop => Outcome {
                container: Some("exited"),
                started: 0,
                ..running
            },
            Self::Undeploy => Outcome {
                container: None,
                same: false,
                started: 0,
                ..running
            },
        }
    }
}
