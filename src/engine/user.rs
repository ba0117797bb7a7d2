//! The unprivileged user that servers run as: PostgreSQL refuses to run as root.

use super::EngineError;

/// A user of the system that a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl User {
    /// Returns whom servers run as: `None` means as ourselves, since PostgreSQL only refuses root. For root it is
    /// `postgres` where that user exists, else `nobody`.
    ///
    /// # Errors
    /// When bkup is root and the system has neither user.
    pub fn for_servers() -> Result<Option<Self>, EngineError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| EngineError::io("reading /etc/passwd", e))?;
        Self::pick(&passwd).map(Some).ok_or_else(|| {
            EngineError::Scratch("cannot run as root, and the users postgres and nobody do not exist".to_owned())
        })
    }

    fn pick(passwd: &str) -> Option<Self> {
        ["postgres", "nobody"].into_iter().find_map(|wanted| {
            passwd.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
                Some(Self { name: name.to_owned(), uid, gid: fields.next()?.parse().ok()? })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::User;

    #[test]
    fn servers_run_as_postgres_or_nobody_and_never_as_root() {
        let passwd = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65533:n:/:/x\n";
        let nobody = User::pick(passwd).expect("nobody");
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        let both = format!("{passwd}postgres:x:101:104:a,b:/v:/bin/bash\n");
        assert_eq!(User::pick(&both).expect("postgres").uid, 101);
        assert_eq!(User::pick("postgres:x:0:0::/:/bin/sh\n"), None);
    }
}
