//! CLIP's text tower: a causal transformer whose output is taken at the end token.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::config::TextConfig;
use super::encoder::{Encoder, Norm, normal};

/// `text_model` of a checkpoint.
#[derive(Clone, Debug)]
pub struct TextTower {
    token_embedding: Tensor,
    position_embedding: Tensor,
    encoder: Encoder,
    final_norm: Norm,
    eos_token_id: u32,
}

/// Token sequences of equal length, and the position of the output of each.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// `[n_texts, n_tokens]` u32.
    pub ids: Tensor,
    /// `[n_texts]` u32: row of `[n_texts * n_tokens]` at which the output of a text is taken.
    pub rows: Tensor,
}

impl TextTower {
    /// Builds the tower under the keys of `text_model`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(config: &TextConfig, vb: VarBuilder) -> Result<Self> {
        let width = config.hidden_size;
        let embeddings = vb.pp("embeddings");
        Ok(Self {
            token_embedding: embeddings.get_with_hints(
                (config.vocab_size, width),
                "token_embedding.weight",
                normal(0.02),
            )?,
            position_embedding: embeddings.get_with_hints(
                (config.max_position_embeddings, width),
                "position_embedding.weight",
                normal(0.02),
            )?,
            encoder: Encoder::new(config.layer_spec(), config.num_hidden_layers, vb.pp("encoder.layers"))?,
            final_norm: Norm::new(width, config.layer_norm_eps, vb.pp("final_layer_norm"))?,
            eos_token_id: config.eos_token_id,
        })
    }

    /// Makes a batch of token sequences, which include start and end tokens. What follows an end token is cut or padded: the
    /// tower is causal, so it cannot affect the embedding.
    ///
    /// # Errors
    /// If there is no sequence, or one is empty.
    pub fn batch(&self, sequences: &[Vec<u32>], device: &Device) -> Result<TokenBatch> {
        let ends: Vec<usize> = sequences.iter().map(|ids| self.end_of(ids)).collect();
        let n_tokens = ends.iter().max().map_or(0, |&end| end + 1);
        if sequences.iter().any(Vec::is_empty) || n_tokens == 0 {
            candle_core::bail!("a text tower needs at least one token per text");
        }
        let ids: Vec<u32> = sequences
            .iter()
            .flat_map(|ids| ids.iter().copied().chain(std::iter::repeat(0)).take(n_tokens))
            .collect();
        let rows: Vec<u32> = ends.iter().enumerate().map(|(i, &end)| (i * n_tokens + end) as u32).collect();
        Ok(TokenBatch {
            ids: Tensor::from_vec(ids, (sequences.len(), n_tokens), device)?,
            rows: Tensor::new(rows, device)?,
        })
    }

    /// The output at each text's end token, after the last norm: `[n_texts, hidden_size]`.
    ///
    /// # Errors
    /// If a token is outside the vocabulary or a sequence is too long.
    pub fn forward(&self, batch: &TokenBatch) -> Result<Tensor> {
        let (n, n_tokens) = batch.ids.dims2()?;
        let tokens = self.token_embedding.index_select(&batch.ids.flatten_all()?, 0)?;
        let width = tokens.dim(1)?;
        let positions = self.position_embedding.narrow(0, 0, n_tokens)?;
        let x = tokens.reshape((n, n_tokens, width))?.broadcast_add(&positions)?;
        let x = self.encoder.forward(&x)?.reshape((n * n_tokens, width))?;
        self.final_norm.forward(&x.index_select(&batch.rows, 0)?)
    }

    /// Position of the output, by Hugging Face's rule: the first end token, or the highest token if `eos_token_id` is 2.
    fn end_of(&self, ids: &[u32]) -> usize {
        /// The value in all checkpoints before it was corrected.
        const LEGACY: u32 = 2;
        let end = match self.eos_token_id {
            LEGACY => ids.iter().max().copied().unwrap_or_default(),
            eos => eos,
        };
        ids.iter().position(|&id| id == end).unwrap_or(0)
    }
}
