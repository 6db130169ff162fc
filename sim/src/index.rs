//! Indices that must not be mixed up. Each counts in the order of the scene's lists.

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub usize);
    };
}

index!(
    /// One world of a batch.
    EnvIdx
);
index!(
    /// One body of [`crate::scene::SceneSpec::bodies`].
    BodyIdx
);
index!(
    /// One joint of [`crate::scene::SceneSpec::joints`].
    JointIdx
);
index!(
    /// One camera of [`crate::scene::SceneSpec::cameras`].
    CameraIdx
);
index!(
    /// One material of [`crate::scene::SceneSpec::materials`].
    MaterialIdx
);
