//! The token that pads texts to the context length, from the files of a checkpoint.

use serde_json::Value;
use tokenizers::{PaddingDirection, Tokenizer};

use crate::Result;
use crate::files::ModelFiles;

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";

/// What `transformers` writes as `text_config.pad_token_id` of every SigLIP checkpoint that does not set it, and then does not
/// read: the pad token of SigLIP 1. The tokenizer of SigLIP 2 pads with 0.
const WRITTEN_BY_DEFAULT: u32 = 1;

/// What a file says about the pad token.
struct Statement {
    file: &'static str,
    text: String,
    token: u32,
}

/// The token that pads texts on the right. `transformers` pads with the tokenizer's pad token, which `padding` of
/// `tokenizer.json` and `pad_token` of `tokenizer_config.json` name, or else `special_tokens_map.json`. `configured` is
/// `text_config.pad_token_id` of `config.json`, which counts unless it is the default.
///
/// # Errors
/// If the files name no token, different ones, or one that the vocabulary lacks, or pad on the left.
pub(crate) fn pad_token(files: &ModelFiles, tokenizer: &Tokenizer, configured: Option<u32>) -> Result<u32> {
    let config: Option<Value> = files.json(TOKENIZER_CONFIG)?;
    let side = config.as_ref().and_then(|config| config.get("padding_side")).filter(|side| !side.is_null());
    let of_tokenizer = tokenizer.get_padding();
    match (side, of_tokenizer.map(|padding| padding.direction)) {
        (Some(side), _) if side != "right" => {
            return Err(files.error(TOKENIZER_CONFIG, format!("padding_side = {side}; expected \"right\"")));
        }
        (None, Some(PaddingDirection::Left)) => {
            return Err(files.error(TOKENIZER, "padding.direction = \"Left\"; expected \"Right\""));
        }
        _ => {}
    }

    let mut statements = Vec::new();
    if let Some(padding) = of_tokenizer {
        let text = format!("padding.pad_id = {}", padding.pad_id);
        statements.push(Statement { file: TOKENIZER, text, token: padding.pad_id });
        statements.push(named(files, tokenizer, TOKENIZER, "padding.pad_token", &padding.pad_token)?);
    }
    statements.extend(special_token(files, tokenizer, TOKENIZER_CONFIG, config)?);
    if statements.is_empty() {
        statements.extend(special_token(files, tokenizer, SPECIAL_TOKENS, files.json(SPECIAL_TOKENS)?)?);
    }
    if let Some(token) = configured.filter(|&token| token != WRITTEN_BY_DEFAULT) {
        let text = format!("text_config.pad_token_id = {token}");
        statements.push(Statement { file: "config.json", text, token });
    }

    let Some(first) = statements.first() else {
        let reason = format!(
            "the pad token is unknown: neither padding in {TOKENIZER} nor pad_token in {TOKENIZER_CONFIG} or \
             {SPECIAL_TOKENS} names it; add the files of the checkpoint's tokenizer"
        );
        return Err(files.error(TOKENIZER_CONFIG, reason));
    };
    match statements.iter().find(|other| other.token != first.token) {
        None => Ok(first.token),
        Some(other) => {
            let reason = format!(
                "{} says that texts are padded with token {}, but {} in {} says with token {}; correct or remove \
                 what is wrong",
                other.text, other.token, first.text, first.file, first.token
            );
            Err(files.error(other.file, reason))
        }
    }
}

/// `pad_token` of a file, a string or an object with `content`; `None` if it is absent or null.
fn special_token(
    files: &ModelFiles,
    tokenizer: &Tokenizer,
    file: &'static str,
    json: Option<Value>,
) -> Result<Option<Statement>> {
    let Some(value) = json.as_ref().and_then(|json| json.get("pad_token")).filter(|value| !value.is_null())
    else {
        return Ok(None);
    };
    match value.as_str().or_else(|| value.get("content")?.as_str()) {
        Some(content) => named(files, tokenizer, file, "pad_token", content).map(Some),
        None => {
            let reason =
                format!("pad_token = {value}; expected a string, or an object with a string 'content'");
            Err(files.error(file, reason))
        }
    }
}

/// The statement of a token by its text, which has to be in the vocabulary or among the added tokens.
fn named(
    files: &ModelFiles,
    tokenizer: &Tokenizer,
    file: &'static str,
    key: &str,
    content: &str,
) -> Result<Statement> {
    let text = format!("{key} = '{content}'");
    match tokenizer.token_to_id(content) {
        Some(token) => Ok(Statement { file, text, token }),
        None => Err(files.error(file, format!("{text}, which is not a token of the tokenizer"))),
    }
}
