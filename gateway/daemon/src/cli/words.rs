//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Takes hospital messages in, keeps them safe, and delivers core information to the regional platform.
#[derive(Parser)]
#[command(name = "hospital-gateway", version, about)]
pub(super) struct Cli {
    /// The configuration [default: /etc/hospital-gateway/gateway.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The control socket of the running gateway [default: found by the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the gateway
    Run,
    /// Check a configuration against this machine, without running
    Check,
    /// What flows, what is stuck, since when
    Status,
    /// Feeds: connections, counts, acknowledgement times, how peers frame
    Feeds,
    /// Captures: raw messages as received
    #[command(subcommand)]
    Captures(Captures),
    /// Deliveries: what went where
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// The person index; every look is audited
    #[command(subcommand)]
    Persons(Persons),
    /// Records of core information: what a wrong map made
    #[command(subcommand)]
    Records(Records),
    /// Code maps: local codes in the terms of standards
    #[command(subcommand)]
    Codes(Codes),
    /// The key of the buffer
    #[command(subcommand)]
    Keys(Keys),
    /// Who looked at what
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Args)]
pub(super) struct Page {
    /// Begin after this one
    #[arg(long, value_name = "ID")]
    pub(super) after: Option<String>,
    /// At most so many, up to 500
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
}

#[derive(Subcommand)]
pub(super) enum Captures {
    /// List captures with what became of each
    List {
        /// Only those: quarantined, duplicate, not-interpreted, test, withheld, observed, discarded
        #[arg(long)]
        outcome: Option<String>,
        /// Only of this feed
        #[arg(long)]
        feed: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show the message itself
    Show {
        /// The capture, as 12-345
        id: String,
        /// Why you need to see it; kept in the audit
        #[arg(long)]
        reason: String,
    },
    /// Run a capture again, at its place
    Replay {
        /// The capture, as 12-345
        id: String,
    },
    /// Release a capture quarantined as id-conflict: it really is another order
    Release {
        /// The capture, as 12-345
        id: String,
    },
    /// Give a capture up for good
    Discard {
        /// The capture, as 12-345
        id: String,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Deliveries {
    /// List deliveries
    List {
        /// Only those: waiting, delivered, superseded, dead, withheld
        #[arg(long)]
        state: Option<String>,
        /// Only to this destination
        #[arg(long)]
        destination: Option<String>,
        /// Only of this capture
        #[arg(long)]
        capture: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show what is sent
    Show {
        /// The delivery's number
        id: i64,
        /// Why you need to see it; kept in the audit
        #[arg(long)]
        reason: String,
    },
    /// Send again, at its place
    Replay {
        /// The delivery's number
        id: i64,
    },
}

#[derive(Subcommand)]
pub(super) enum Persons {
    /// Find a person by a number or the whole name
    Find {
        /// A resident ID number
        #[arg(long)]
        resident_id: Option<String>,
        /// A number of an authority, as HIS:12345
        #[arg(long)]
        number: Option<String>,
        /// The whole name
        #[arg(long)]
        name: Option<String>,
        /// Why you need to see it; kept in the audit
        #[arg(long)]
        reason: String,
    },
    /// Show a person, and what was decided about it by whom
    Show {
        /// The person's id
        id: String,
        /// Why you need to see it; kept in the audit
        #[arg(long)]
        reason: String,
    },
    /// Make two persons one
    Merge {
        /// The id of the person that stays
        survivor: String,
        /// The id of the person that is found to be this one
        loser: String,
        /// Also where verified ID numbers, sex or birth dates differ
        #[arg(long)]
        force: bool,
        /// Why; kept in the audit and in the history of both
        #[arg(long)]
        reason: String,
    },
    /// Take a merge back: the person stands for itself again, and gets back what came under its numbers
    Unmerge {
        /// The id of the person that was merged
        id: String,
        /// Why; kept in the audit and in the history of both
        #[arg(long)]
        reason: String,
    },
    /// Let two persons be looked up together; they stay two
    Link {
        /// The id of the one
        one: String,
        /// The id of the other
        other: String,
        /// No longer
        #[arg(long)]
        undo: bool,
        /// Why; kept in the audit and in the history of both
        #[arg(long)]
        reason: String,
    },
    /// Say that the two persons of a conflict are two; the pair is not listed again
    Reject {
        /// The conflict's number
        id: i64,
        /// Why; kept in the audit and in the history of both
        #[arg(long)]
        reason: String,
    },
    /// Take over an existing index from a table (CSV): every line is checked before anything is imported; cut off, it goes on
    /// where it was; said again, it changes nothing
    Import {
        /// The table. Its first line names the columns: name, sex, birth, phone, address, resident-id, health-code, passport,
        /// hk-macau-permit, taiwan-permit, foreign-resident, number:AUTHORITY (as number:HIS)
        file: PathBuf,
        /// utf-8 or gb18030 [default: utf-8 where the whole file is, else gb18030]
        #[arg(long)]
        charset: Option<String>,
        /// Only tell what would happen
        #[arg(long)]
        dry_run: bool,
        /// Leave out the lines that are wrong
        #[arg(long)]
        skip_wrong: bool,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
    },
    /// Doubts about who is who, each with what to do next
    Conflicts {
        /// Why you need to see it; kept in the audit
        #[arg(long)]
        reason: String,
        /// Begin after this one
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many, up to 500
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Decide a conflict
    #[command(group = clap::ArgGroup::new("decision").required(true).args(["accept", "dismiss"]))]
    Resolve {
        /// The conflict's number
        id: i64,
        /// The number is that person's
        #[arg(long)]
        accept: bool,
        /// It is not; take it off the list
        #[arg(long)]
        dismiss: bool,
        /// Why; kept in the audit
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Records {
    /// The records that something of a map is in, or that a mapping revision made; with --resend they are sent again
    #[command(group = clap::ArgGroup::new("what").required(true).args(["map", "mapping"]))]
    Recall {
        /// A code map
        #[arg(long, value_name = "NAME[@VERSION]")]
        map: Option<String>,
        /// A mapping revision, as in the tag `mapping` of a resource
        #[arg(long, value_name = "REVISION")]
        mapping: Option<u32>,
        /// Send all of them again, at their places, as the maps in force say
        #[arg(long)]
        resend: bool,
        #[command(flatten)]
        page: Page,
    },
}

#[derive(Subcommand)]
pub(super) enum Codes {
    /// The maps in force: versions, rows, drafts, who uses them
    List,
    /// Codes that came without a mapping: how often, since when, until when
    Unmapped {
        /// Only of this feed
        #[arg(long)]
        feed: Option<String>,
        /// Only of this kind: test, unit, specimen, ...
        #[arg(long)]
        kind: Option<String>,
        /// Why you need to see the words beside the codes too; kept in the audit
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Check files without running: every fault with its line
    Check {
        /// Code maps
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum Keys {
    /// Where the key is and what it protects against
    Status,
    /// Make a key file
    Create {
        /// Where; never overwritten
        #[arg(long)]
        file: PathBuf,
    },
}

#[derive(Subcommand)]
pub(super) enum Audit {
    /// List entries; with a reason also what was looked at
    List {
        /// Why you need to see what was looked at; kept in the audit itself
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Follow the chain
    Verify,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_words_hang_together() {
        Cli::command().debug_assert();
        assert!(
            Cli::try_parse_from(["hospital-gateway", "captures", "show", "1-1"]).is_err(),
            "a reason is needed"
        );
        assert!(
            Cli::try_parse_from(["hospital-gateway", "persons", "resolve", "1", "--reason", "x"]).is_err()
        );
        assert!(Cli::try_parse_from(["hospital-gateway", "status", "--json", "--config", "x"]).is_ok());
    }
}
