//! Names of repositories on the Hugging Face hub.

use std::fmt;

/// `owner/name`, or `owner/name@revision`, where the revision is a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HubName {
    /// `owner/name`.
    pub repo: String,
    /// Revision after the `@`; `None` means the branch `main`.
    pub revision: Option<String>,
}

impl HubName {
    /// What [`Self::parse`] accepts, for error messages.
    pub const FORMS: &str = "'owner/name' or 'owner/name@revision' of the Hugging Face hub";

    /// Parses a name; `None` if it has another form. The parts become parts of URLs and paths, so they must not be `..`.
    pub fn parse(name: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.') && !part.ends_with('.')
        };
        let (repo, revision) = match name.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (name, None),
        };
        let (owner, rest) = repo.split_once('/')?;
        let is_valid =
            is_part(owner) && is_part(rest) && revision.is_none_or(|name| name.split('/').all(is_part));
        is_valid.then(|| Self { repo: repo.to_owned(), revision: revision.map(str::to_owned) })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.repo),
            None => f.write_str(&self.repo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_names_have_an_owner_a_name_and_perhaps_a_revision() {
        for (name, repo, revision) in [
            ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32", None),
            ("laion/CLIP-ViT-B-32_s34B.b79K@v1.0", "laion/CLIP-ViT-B-32_s34B.b79K", Some("v1.0")),
            ("a/b@refs/pr/1", "a/b", Some("refs/pr/1")),
        ] {
            let parsed = HubName::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((parsed.repo.as_str(), parsed.revision.as_deref()), (repo, revision));
            assert_eq!(parsed.to_string(), name);
        }
        for name in [
            "clip",
            "/tmp",
            "./model",
            "a/b/c",
            "../x",
            "owner/",
            "a b/c",
            "clip@v1",
            "a/b@",
            "a/b@/etc",
            "a/b@../x",
            "a/b@x/../y",
            "a/b@x//y",
            "a/b@v 1",
            "a/b@v1@v2",
            "@a/b",
        ] {
            assert_eq!(HubName::parse(name), None, "{name}");
        }
    }
}
