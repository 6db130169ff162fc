//! Repositories of the Hugging Face hub, by name; enabled by the feature `hub`.

#[cfg(not(feature = "hub"))]
mod disabled;
#[cfg(feature = "hub")]
mod enabled;
mod name;
#[cfg(all(test, feature = "hub"))]
mod tests;

#[cfg(not(feature = "hub"))]
pub(crate) use disabled::Hub;
#[cfg(feature = "hub")]
pub(crate) use enabled::Hub;
pub(crate) use name::HubName;
