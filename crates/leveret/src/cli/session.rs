//! With which broker a verb speaks, as whom, in which vhost, and how it shows what it gets.

use anyhow::{Context, bail};
use clap::Args;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::api::{Client, Credentials, Target};
use super::secret;
use super::table::{Column, ListArgs, Rows};
use super::tls::TlsArgs;

/// Where the management API is unless said otherwise.
const URL: &str = "http://127.0.0.1:15672";
/// The same over TLS.
const TLS_URL: &str = "https://127.0.0.1:15671";

/// The options of every verb that asks a broker.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker and output")]
pub struct SessionArgs {
    /// The address of the management API [default: http://127.0.0.1:15672]
    #[arg(long, env = "LEVERET_URL", global = true)]
    url: Option<String>,

    /// The user [default: guest]
    #[arg(long, env = "LEVERET_USER", global = true, value_name = "NAME")]
    user: Option<String>,

    /// The user's password; others can see what is on a command line, so prefer the variable
    #[arg(long, env = "LEVERET_PASSWORD", hide_env_values = true, global = true)]
    password: Option<String>,

    /// Read the user's password as the first line of standard input
    #[arg(long, global = true, conflicts_with = "password")]
    password_stdin: bool,

    /// A token (JWT) instead of user and password; prefer the variable
    #[arg(
        long,
        env = "LEVERET_TOKEN",
        hide_env_values = true,
        global = true,
        value_name = "JWT",
        conflicts_with = "password_stdin"
    )]
    token: Option<String>,

    /// The vhost; lists show all unless one is given, all else is in `/`
    #[arg(short = 'p', long, env = "LEVERET_VHOST", global = true, value_name = "NAME")]
    vhost: Option<String>,

    #[command(flatten)]
    tls: TlsArgs,

    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,

    /// Do not say what was done
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// An address with the name and the password that may stand in it.
pub(super) struct Address {
    pub(super) base: String,
    credentials: Option<(String, String)>,
}

impl Address {
    /// Takes `http://USER:PASSWORD@HOST:PORT` apart.
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let Some((scheme @ ("http" | "https"), rest)) = url.split_once("://") else {
            bail!("`{url}` is no address such as http://HOST:PORT");
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((before, host)) = authority.rsplit_once('@') else {
            return Ok(Self { base: url.to_owned(), credentials: None });
        };
        let (user, password) = before.split_once(':').unwrap_or((before, ""));
        let decode = |text| -> anyhow::Result<String> {
            let decoded = percent_decode_str(text).decode_utf8();
            Ok(decoded.context("the user or password in the address is badly encoded")?.into())
        };
        let credentials = Some((decode(user)?, decode(password)?));
        Ok(Self { base: format!("{scheme}://{host}{path}"), credentials })
    }

    /// Whether it is asked over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.base.starts_with("https:")
    }

    /// The host alone.
    pub(super) fn host(&self) -> &str {
        let authority = self.base.split("://").nth(1).unwrap_or_default();
        let authority = authority.split('/').next().unwrap_or_default();
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }
}

fn given(option: Option<&String>) -> Option<&str> {
    option.map(String::as_str).filter(|text| !text.is_empty())
}

impl SessionArgs {
    fn address(&self) -> anyhow::Result<Address> {
        let usual = if self.tls.ssl { TLS_URL } else { URL };
        let address = Address::parse(given(self.url.as_ref()).unwrap_or(usual))?;
        if self.tls.ssl && !address.is_secure() {
            bail!("{} is not over TLS: with --ssl the address begins with https", address.base);
        }
        Ok(address)
    }

    fn credentials(&self, address: &Address) -> anyhow::Result<Credentials> {
        if let Some(token) = given(self.token.as_ref()) {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                bail!("this is no token: it has characters that no token has");
            }
            return Ok(Credentials::Token(token.to_owned()));
        }
        let (user, password) = self.user_and_password(address)?;
        Ok(Credentials::Password(user, password))
    }

    fn user_and_password(&self, address: &Address) -> anyhow::Result<(String, String)> {
        let in_address = address.credentials.as_ref();
        let user = given(self.user.as_ref());
        let user = user.or(in_address.map(|(user, _)| user.as_str())).unwrap_or("guest");
        if self.password_stdin {
            return Ok((user.to_owned(), secret::line()?));
        }
        let theirs = in_address.filter(|(name, _)| name == user).map(|(_, password)| password);
        let known = theirs.or(self.password.as_ref()).cloned();
        let password = match known {
            Some(password) => password,
            None if user == "guest" => "guest".to_owned(),
            None => secret::ask(&format!("Password of {user}: ")).with_context(|| {
                format!(
                    "there is no password for `{user}`: set LEVERET_PASSWORD, or use \
                     --password-stdin"
                )
            })?,
        };
        Ok((user.to_owned(), password))
    }
}

/// One run of a verb.
pub struct Session {
    /// The broker.
    pub(super) client: Client,
    /// The broker's host, for other protocols.
    pub(super) host: String,
    /// As whom, for other protocols.
    pub(super) credentials: Credentials,
    /// Whom to trust, for other protocols.
    pub(super) tls: TlsArgs,
    /// Whether the broker is asked over TLS.
    pub(super) is_secure: bool,
    /// Print JSON.
    pub(super) json: bool,
    vhost: Option<String>,
    quiet: bool,
}

impl Session {
    /// Finds out who is asking whom.
    pub(super) fn open(arguments: &SessionArgs) -> anyhow::Result<Self> {
        let address = arguments.address()?;
        let credentials = arguments.credentials(&address)?;
        let tls = arguments.tls.clone();
        Ok(Self {
            client: Client::new(&address.base, &credentials, || tls.config())?,
            host: address.host().to_owned(),
            is_secure: address.is_secure(),
            credentials,
            tls,
            json: arguments.json,
            vhost: given(arguments.vhost.as_ref()).map(str::to_owned),
            quiet: arguments.quiet,
        })
    }

    /// A client for another broker.
    pub(super) fn other(&self, url: &str, login: (&str, &str)) -> anyhow::Result<Client> {
        let address = Address::parse(url)?;
        let login = (login.0.to_owned(), login.1.to_owned());
        let (user, password) = address.credentials.clone().unwrap_or(login);
        let credentials = Credentials::Password(user, password);
        Client::new(&address.base, &credentials, || self.tls.config())
    }

    /// The vhost to work in.
    pub(super) fn vhost(&self) -> &str {
        self.vhost.as_deref().unwrap_or("/")
    }

    /// The vhost that was named, if any.
    pub(super) fn vhost_named(&self) -> Option<&str> {
        self.vhost.as_deref()
    }

    /// A thing of the vhost: `noun` in words, `kind` in the path.
    pub(super) fn target(&self, noun: &str, kind: &str, name: &str) -> Target {
        let vhost = self.vhost();
        Target::new(format!("{noun} `{name}` in vhost `{vhost}`"), &[kind, vhost, name])
    }

    /// A collection: of the named vhost, or of all.
    pub(super) fn collection(&self, kind: &[&str]) -> Target {
        match &self.vhost {
            Some(vhost) => Target::new(format!("vhost `{vhost}`"), &[kind, &[vhost]].concat()),
            None => Target::new(format!("list of {}", kind.join("/")), kind),
        }
    }

    /// Gets a list and prints it.
    pub(super) fn list(
        &self,
        target: Target,
        columns: &'static [Column],
        arguments: &ListArgs,
    ) -> anyhow::Result<()> {
        let trimmed = arguments.keys(columns).filter(|_| !self.json);
        let target = match trimmed {
            Some(keys) => target.query("columns", &keys),
            None => target,
        };
        let Value::Array(rows) = self.client.get(&target)? else {
            bail!("{} answered with something that is no list", self.client.base());
        };
        self.print_list(rows, columns, arguments)
    }

    /// Prints a list that is there.
    pub(super) fn print_list(
        &self,
        rows: Vec<Value>,
        columns: &'static [Column],
        arguments: &ListArgs,
    ) -> anyhow::Result<()> {
        let rows = Rows::new(rows, columns, arguments)?;
        if self.json { self.print_json(&rows.to_json()) } else { crate::print(&rows.to_text()) }
    }

    /// Prints one thing, a line for each of its columns that has a value.
    pub(super) fn print_one(&self, value: &Value, columns: &[Column]) -> anyhow::Result<()> {
        if self.json {
            return self.print_json(value);
        }
        crate::print(&super::table::one(value, columns))
    }

    /// Prints a value for programs.
    pub(super) fn print_json(&self, value: &Value) -> anyhow::Result<()> {
        crate::print(&format!("{value:#}\n"))
    }

    /// Says what was done: to people only, and unless they want silence.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.json || self.quiet {
            return Ok(());
        }
        crate::print(&format!("{}\n", super::table::harmless(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_carry_a_user() {
        let address = Address::parse("https://a%40b:p%3A@h.example:8080/prefix").unwrap();
        assert_eq!(address.base, "https://h.example:8080/prefix");
        assert_eq!(address.credentials, Some(("a@b".to_owned(), "p:".to_owned())));
        assert_eq!(address.host(), "h.example");
        assert_eq!(Address::parse("http://[::1]:15672").unwrap().host(), "::1");
        assert!(Address::parse("localhost:15672").is_err());
    }
}
