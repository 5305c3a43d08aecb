//! Reading a filter.

use std::iter::Peekable;
use std::net::IpAddr;
use std::str::FromStr;
use std::vec::IntoIter;

use ipnet::IpNet;

use super::{Filter, FilterError, Protocol, Side};

/// Longest filter, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Deepest nesting of brackets and `not`.
const DEPTH_MAX: usize = 32;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(FilterError(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<String> = spaced.split_whitespace().map(str::to_ascii_lowercase).collect();
        let mut words = Words { rest: words.into_iter().peekable(), depth: 0 };
        let filter = words.filter()?;
        match words.rest.next() {
            None => Ok(filter),
            Some(word) => Err(FilterError(format!("{word:?} does not belong there"))),
        }
    }
}

/// What is still to be read.
struct Words {
    rest: Peekable<IntoIter<String>>,
    depth: usize,
}

impl Words {
    fn filter(&mut self) -> Result<Filter, FilterError> {
        let mut filter = self.term()?;
        while self.rest.next_if_eq("or").is_some() {
            filter = Filter::Or(filter.into(), self.term()?.into());
        }
        Ok(filter)
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        let mut filter = self.factor()?;
        while self.rest.next_if_eq("and").is_some() {
            filter = Filter::And(filter.into(), self.factor()?.into());
        }
        Ok(filter)
    }

    fn factor(&mut self) -> Result<Filter, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FilterError(format!("it is nested more than {DEPTH_MAX} deep")));
        }
        let filter = if self.rest.next_if_eq("not").is_some() {
            Filter::Not(self.factor()?.into())
        } else if self.rest.next_if_eq("(").is_some() {
            let filter = self.filter()?;
            if self.word("a closing bracket")? != ")" {
                return Err(FilterError("a bracket is not closed".into()));
            }
            filter
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn test(&mut self) -> Result<Filter, FilterError> {
        let side = if self.rest.next_if_eq("src").is_some() {
            Side::Source
        } else if self.rest.next_if_eq("dst").is_some() {
            Side::Destination
        } else {
            Side::Either
        };
        let word = self.word("a test")?;
        match word.as_str() {
            "host" => {
                let address: IpAddr = self.value("an address")?;
                Ok(Filter::Net(side, address.into()))
            }
            "net" => self.value("a prefix, as 10.0.0.0/8").map(|net: IpNet| Filter::Net(side, net.trunc())),
            "port" => self.value("a number from 0 to 65535").map(|port| Filter::Port(side, port)),
            other if side == Side::Either => protocol(other),
            other => Err(FilterError(format!("{other:?} has no direction; host, net and port have"))),
        }
    }

    fn word(&mut self, wanted: &str) -> Result<String, FilterError> {
        self.rest.next().ok_or_else(|| FilterError(format!("{wanted} is missing at its end")))
    }

    fn value<T: FromStr>(&mut self, wanted: &str) -> Result<T, FilterError> {
        let word = self.word(wanted)?;
        word.parse().map_err(|_| FilterError(format!("{word:?} is not {wanted}")))
    }
}

fn protocol(word: &str) -> Result<Filter, FilterError> {
    let protocol = match word {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "icmp6" => Protocol::Icmp6,
        "arp" => Protocol::Arp,
        "ip" => Protocol::Ip,
        "ip6" => Protocol::Ip6,
        _ => return Err(FilterError(format!("{word:?} is no test"))),
    };
    Ok(Filter::Protocol(protocol))
}
