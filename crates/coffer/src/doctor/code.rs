//! Every code there is, with its severity and its meaning. A code never changes its meaning: monitoring may know it.

use coffer_core::words;

words! {
    /// How bad it is, the worst last.
    pub enum Severity {
        /// Worth knowing.
        Note = "note",
        /// Not looked at: nothing is said about it.
        Unseen = "unseen",
        /// It works, and should be mended.
        Warning = "warning",
        /// It does not work, or is not safe.
        Error = "error",
    }
}

macro_rules! codes {
    ($($code:ident = $id:literal $name:literal $severity:ident: $meaning:literal;)+) => {
        /// What can be found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code {
            $(#[doc = $meaning] $code,)+
        }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$code,)+];

            pub(super) const fn id(self) -> &'static str {
                match self { $(Self::$code => $id,)+ }
            }

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            pub(super) const fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)+ }
            }

            #[cfg(test)]
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)+ }
            }
        }
    };
}

codes! {
    NotSeen = "D001" "not_seen" Unseen: "this user's rights, or what else is wrong, kept a check from looking; nothing is said about it";
    SettingsRefused = "D101" "settings_refused" Error: "`coffer.toml`, or a variable of the environment, is not what a role would start with";
    ProfileDevelopment = "D102" "profile_development" Note: "the development profile allows what is handy and unsafe";
    DirectoryMissing = "D201" "directory_missing" Error: "a role has no directory";
    DirectoryOpen = "D202" "directory_open" Error: "a role's directory can be opened by others";
    DirectoryShared = "D203" "directory_shared" Warning: "two roles in production have the same user, so that one can read what is the other's";
    DirectoryRoot = "D204" "directory_root" Error: "a role's directory in production belongs to root, as whom no role runs";
    FileOpen = "D205" "file_open" Error: "a secret, or a store, can be opened by others";
    FileForeign = "D206" "file_foreign" Error: "a file in a role's directory belongs to another user than the directory";
    SecretMissing = "D207" "secret_missing" Error: "a secret is not there that the role cannot do without";
    SettingsWritable = "D208" "settings_writable" Error: "others can change the settings, or what all roles trust";
    PassphraseExposed = "D209" "passphrase_exposed" Error: "the passphrase file can be opened by others, or lies beside what it protects";
    CertificateMissing = "D301" "certificate_missing" Error: "a face or a role has no certificate";
    CertificateUnusable = "D302" "certificate_unusable" Error: "a certificate cannot be read, its key does not fit, or its authority did not sign it";
    CertificateOver = "D303" "certificate_over" Error: "a certificate is not valid any more";
    CertificateEnds = "D304" "certificate_ends" Warning: "a certificate ends soon and was not renewed";
    CertificateName = "D305" "certificate_name" Error: "the certificate of a face is not for the host that its origin names";
    CertificateEarly = "D306" "certificate_early" Error: "a certificate is not valid yet, or this machine's clock is behind";
    ClockBehind = "D401" "clock_behind" Error: "something was made later than now: this machine's clock is, or was, wrong";
    ClockDiffers = "D402" "clock_differs" Error: "a role's process has another time than this one";
    StoreMissing = "D501" "store_missing" Warning: "a role has no store: it has not run yet, or the store was lost";
    StoreDamaged = "D502" "store_damaged" Error: "a store's file is damaged";
    StoreUnsafe = "D503" "store_unsafe" Error: "a store cannot be opened, or its server or disk could lose what was acknowledged";
    StoreNewer = "D504" "store_newer" Error: "a store was written by a newer version of Coffer than this one";
    StoreOlder = "D505" "store_older" Note: "a store's tables are brought up to date when the role starts";
    DiskFull = "D506" "disk_full" Error: "there is nearly no room, or no inode, left for a store";
    DiskLow = "D507" "disk_low" Warning: "there is little room, or there are few inodes, left for a store";
    ReserveMissing = "D508" "reserve_missing" Warning: "a role's disk was full: the reserve beside its store was given back, and there is no room for another";
    RatesAlone = "D509" "rates_alone" Warning: "the server by which nodes share their rates cannot be asked: each limits by itself";
    NotRunning = "D601" "not_running" Warning: "a role does not run on this machine";
    NotReady = "D602" "not_ready" Error: "a role runs and cannot do its work";
    NotReachable = "D603" "not_reachable" Error: "nobody listens where a face or link of a running role should be";
    KeysSealed = "D604" "keys_sealed" Error: "the key server is sealed: cards can be neither stored nor charged";
    NotConfined = "D701" "not_confined" Error: "a role's process runs without a part of its sandbox";
    RunsAsRoot = "D702" "runs_as_root" Error: "a role runs as root in production";
    KernelWeak = "D703" "kernel_weak" Warning: "the kernel has no Landlock, or an older one: files and ports are not, or not fully, closed to the roles";
    SwapOn = "D704" "swap_on" Note: "memory may be written to disk; encrypt the swap space, or turn it off";
    BackupNever = "D801" "backup_never" Warning: "a role has no backup that it knows of";
    BackupOld = "D802" "backup_old" Warning: "the last backup of a role is older than `[backup] warn_after_hours`";
    DrillOld = "D803" "drill_old" Warning: "no backup of a role was restored for practice within 90 days";
    BackupGone = "D804" "backup_gone" Note: "the last backup is not where it was made; it was moved, one hopes to another place";
    DescriptorsLow = "D901" "descriptors_low" Warning: "a role may not open as many connections as it admits";
    BacklogLow = "D902" "backlog_low" Note: "the kernel lets few connections wait to be accepted";
}
