//! Index newtypes. All but [`EnvIdx`] follow the order of the scene's lists.

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub usize);
    };
}

index!(
    /// Index of an env in its batch.
    EnvIdx
);
index!(
    /// Index of a body in [`crate::scene::SceneSpec::bodies`].
    BodyIdx
);
index!(
    /// Index of a joint in [`crate::scene::SceneSpec::joints`].
    JointIdx
);
index!(
    /// Index of a camera in [`crate::scene::SceneSpec::cameras`].
    CameraIdx
);
index!(
    /// Index of a material in [`crate::scene::SceneSpec::materials`].
    MaterialIdx
);
