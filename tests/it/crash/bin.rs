//! PostgreSQL's programs, with an `initdb` that copies a data folder made before: hundreds of drills need a server each,
//! and making its folder is most of what they take. Everything else is the program itself.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bkup::engine::scratch::make_template;

use crate::world::cluster::{Major, fresh_folder, tests_folder};

/// The folder with the programs, gone with the value.
pub struct Bin {
    folder: PathBuf,
    template: PathBuf,
}

impl Bin {
    /// Makes it.
    pub async fn make(major: Major) -> Self {
        let (folder, template) = (fresh_folder("b"), fresh_folder("t"));
        make_template(&major.programs().await, &template).await.unwrap();
        let data = template.join("data");
        open_up(&data);
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        for program in std::fs::read_dir(major.bin()).unwrap().flatten() {
            if program.file_name() != "initdb" {
                symlink(program.path(), folder.join(program.file_name())).unwrap();
            }
        }
        let initdb = folder.join("initdb");
        let script = format!(
            "#!/bin/sh\nset -eu\nfor word; do\n  case $word in\n    --version) exec {real}/initdb --version ;;\n    \
             --pgdata=*) to=${{word#--pgdata=}} ;;\n  esac\n  [ \"${{last-}}\" != -D ] || to=$word\n  last=$word\ndone\n\
             cp -R {data} \"$to\"\nchmod -R u+rwX,go-rwx \"$to\"\n",
            real = major.bin().display(),
            data = data.display(),
        );
        std::fs::write(&initdb, script).unwrap();
        std::fs::set_permissions(&initdb, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, template }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Lets the unprivileged user of the servers read the template.
fn open_up(folder: &Path) {
    let (mut parent, all) = (Some(folder), tests_folder());
    while let Some(above) = parent.filter(|path| path.starts_with(&all) && *path != all) {
        std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
        parent = above.parent();
    }
    for item in std::fs::read_dir(folder).unwrap().flatten() {
        if item.path().is_dir() {
            open_up(&item.path());
        } else {
            std::fs::set_permissions(item.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

impl Drop for Bin {
    fn drop(&mut self) {
        for folder in [&self.folder, &self.template] {
            let _left_to_the_next_sweep = std::fs::remove_dir_all(folder);
        }
    }
}
