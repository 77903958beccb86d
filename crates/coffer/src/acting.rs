//! Root works in a role's directory as the role's user: what it makes there the role can open, and nothing that the role has put
//! there leads root elsewhere.

use std::{fs, io, marker::PhantomData, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{
    fs::{Gid, Uid},
    process::{geteuid, getgroups},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// This thread, and threads that it starts, act as the owner of a directory until this is dropped. It only means something to
/// root: everybody else is who they are.
pub(crate) struct ActingAsOwner {
    groups_of_root: Option<Vec<Gid>>,
    _of_this_thread: PhantomData<*const ()>,
}

impl ActingAsOwner {
    /// Begins to act so.
    ///
    /// # Errors
    /// When the directory is not there, or the system refuses.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let owner = fs::metadata(directory)?;
        let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        let begins = geteuid().is_root() && !user.is_root();
        let acting = Self {
            groups_of_root: begins.then(getgroups).transpose()?,
            _of_this_thread: PhantomData,
        };
        if begins {
            set_thread_groups(&[group])?;
            set_thread_res_gid(None, group, None)?;
            set_thread_res_uid(None, user, None)?;
        }
        Ok(acting)
    }
}

impl Drop for ActingAsOwner {
    fn drop(&mut self) {
        let Some(groups) = &self.groups_of_root else {
            return;
        };
        let restored = set_thread_res_uid(None, Uid::ROOT, None)
            .and_then(|()| set_thread_res_gid(None, Gid::ROOT, None))
            .and_then(|()| set_thread_groups(groups));
        if let Err(error) = restored {
            // What follows fails for want of rights, and harms nothing.
            tracing::error!(%error, "acting as a role's user did not end");
        }
    }
}
