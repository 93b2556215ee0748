//! The inputs of the language's own actions, by which a misspelt one is found. A newer version of an action may have
//! more: so only what is near to one of these is told.

/// An action.
pub(super) struct Known {
    /// Its name, in lower case.
    pub(super) name: &'static str,
    /// The inputs that it cannot do without.
    pub(super) required: &'static [&'static str],
    /// Its other inputs.
    pub(super) optional: &'static [&'static str],
}

/// An action by its name in lower case.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

const KNOWN: &[Known] = &[
    Known {
        name: "actions/checkout",
        required: &[],
        optional: &[
            "repository",
            "ref",
            "token",
            "ssh-key",
            "ssh-known-hosts",
            "ssh-strict",
            "ssh-user",
            "persist-credentials",
            "path",
            "clean",
            "filter",
            "sparse-checkout",
            "sparse-checkout-cone-mode",
            "fetch-depth",
            "fetch-tags",
            "show-progress",
            "lfs",
            "submodules",
            "set-safe-directory",
            "github-server-url",
        ],
    },
    Known {
        name: "actions/cache",
        required: &["path", "key"],
        optional: &[
            "restore-keys",
            "upload-chunk-size",
            "enableCrossOsArchive",
            "fail-on-cache-miss",
            "lookup-only",
            "save-always",
        ],
    },
    Known {
        name: "actions/cache/restore",
        required: &["path", "key"],
        optional: &["restore-keys", "enableCrossOsArchive", "fail-on-cache-miss", "lookup-only"],
    },
    Known {
        name: "actions/cache/save",
        required: &["path", "key"],
        optional: &["upload-chunk-size", "enableCrossOsArchive"],
    },
    Known {
        name: "actions/upload-artifact",
        required: &["path"],
        optional: &[
            "name",
            "if-no-files-found",
            "retention-days",
            "compression-level",
            "overwrite",
            "include-hidden-files",
            "archive",
        ],
    },
    Known {
        name: "actions/download-artifact",
        required: &[],
        optional: &[
            "name",
            "artifact-ids",
            "path",
            "pattern",
            "merge-multiple",
            "github-token",
            "repository",
            "run-id",
        ],
    },
    Known {
        name: "actions/setup-node",
        required: &[],
        optional: &[
            "always-auth",
            "node-version",
            "node-version-file",
            "architecture",
            "check-latest",
            "registry-url",
            "scope",
            "token",
            "cache",
            "package-manager-cache",
            "cache-dependency-path",
            "mirror",
            "mirror-token",
        ],
    },
    Known {
        name: "actions/setup-python",
        required: &[],
        optional: &[
            "python-version",
            "python-version-file",
            "cache",
            "architecture",
            "check-latest",
            "token",
            "cache-dependency-path",
            "update-environment",
            "allow-prereleases",
            "freethreaded",
            "pip-version",
            "pip-install",
        ],
    },
    Known {
        name: "actions/setup-go",
        required: &[],
        optional: &[
            "go-version",
            "go-version-file",
            "check-latest",
            "token",
            "cache",
            "cache-dependency-path",
            "architecture",
        ],
    },
    Known {
        name: "actions/setup-java",
        required: &["distribution"],
        optional: &[
            "java-version",
            "java-version-file",
            "java-package",
            "architecture",
            "jdkFile",
            "check-latest",
            "server-id",
            "server-username",
            "server-password",
            "settings-path",
            "overwrite-settings",
            "gpg-private-key",
            "gpg-passphrase",
            "cache",
            "cache-dependency-path",
            "token",
        ],
    },
    Known {
        name: "actions/setup-dotnet",
        required: &[],
        optional: &[
            "dotnet-version",
            "dotnet-quality",
            "global-json-file",
            "source-url",
            "owner",
            "config-file",
            "cache",
            "cache-dependency-path",
        ],
    },
    Known {
        name: "actions/github-script",
        required: &["script"],
        optional: &[
            "github-token",
            "debug",
            "user-agent",
            "previews",
            "result-encoding",
            "retries",
            "retry-exempt-status-codes",
            "base-url",
        ],
    },
];
