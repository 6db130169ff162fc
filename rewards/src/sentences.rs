//! Embeddings of sentences, each computed once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Embeddings, ImageTextModel, Result};

/// Number of sentences that are kept; with more, all are forgotten, and embedded again when they are next asked for.
const MAX_SENTENCES: usize = 1 << 16;

/// The text tower of a model, which embeds each distinct sentence once.
pub struct SentenceEmbeddings {
    model: Arc<dyn ImageTextModel>,
    known: Mutex<BTreeMap<String, Arc<[f32]>>>,
}

impl SentenceEmbeddings {
    /// With no sentence embedded yet.
    pub fn new(model: Arc<dyn ImageTextModel>) -> Self {
        Self { model, known: Mutex::default() }
    }

    /// Width of an embedding.
    pub fn dim(&self) -> usize {
        self.model.embed_dim()
    }

    /// The unit embeddings of sentences, `[n_sentences, dim]`.
    ///
    /// # Errors
    /// If the model cannot read one of them.
    pub fn embed(&self, sentences: &[String]) -> Result<Embeddings> {
        // A panic of the model leaves the map as it was.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = Vec::with_capacity(sentences.len() * self.dim());
        for sentence in sentences {
            if !known.contains_key(sentence) {
                // Alone, so that an embedding does not depend on the length of others.
                let embedded = self.model.embed_prompts(std::slice::from_ref(sentence))?;
                if MAX_SENTENCES <= known.len() {
                    known.clear();
                }
                known.insert(sentence.clone(), embedded.values().into());
            }
            values.extend_from_slice(&known[sentence]);
        }
        Ok(Embeddings::from_values(self.dim(), values))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sayso_sim::{Frames, ImageSpec};

    use super::*;

    /// Embeds a text as its number of bytes, and counts the texts.
    struct Counting(ImageSpec, AtomicUsize);

    impl ImageTextModel for Counting {
        fn image_spec(&self) -> &ImageSpec {
            &self.0
        }

        fn embed_dim(&self) -> usize {
            1
        }

        fn embed_frames(&self, _: &Frames) -> Result<Embeddings> {
            Ok(Embeddings::default())
        }

        fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings> {
            self.1.fetch_add(prompts.len(), Ordering::Relaxed);
            Ok(Embeddings::from_values(1, prompts.iter().map(|prompt| prompt.len() as f32).collect()))
        }
    }

    #[test]
    fn each_distinct_sentence_is_embedded_once() -> Result<()> {
        let image = ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] };
        let model = Arc::new(Counting(image, AtomicUsize::new(0)));
        let sentences = SentenceEmbeddings::new(model.clone());
        let embed = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            Ok::<_, crate::RewardError>(sentences.embed(&texts)?.into_values())
        };
        assert_eq!(embed(&["red", "blue", "red"])?, [3.0, 4.0, 3.0]);
        assert_eq!(embed(&["green", "blue"])?, [5.0, 4.0]);
        assert_eq!(model.1.load(Ordering::Relaxed), 3);
        Ok(())
    }
}
