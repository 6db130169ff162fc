//! The model card: what the model is, what it was made of, what it is worth, and what it is not.

use std::fmt::Write as _;

use crate::config::PretrainConfig;
use crate::evaluation::ModelEvalReport;
use crate::trainer::Pretraining;

/// The card of a pretrained model, Markdown.
pub fn model_card(training: &Pretraining, evaluations: &[ModelEvalReport], images_per_sec: f64) -> String {
    let config = training.config();
    let mut card = String::new();
    let mut line = |text: String| {
        let _ = writeln!(card, "{text}");
    };
    line("# A small CLIP for Sayso's own scenes\n".to_owned());
    line(format!(
        "An image tower ({} px, patches of {}, width {}, {} layers) and a text tower (width {}, {} layers) that share a space of {} \
         dimensions: {:.2} million parameters, in Hugging Face form. It was trained from nothing by `sayso pretrain` on pictures \
         and sentences that the simulator makes.\n",
        config.image_size,
        config.patch_size,
        config.width,
        config.n_layers,
        config.text_width,
        config.n_text_layers,
        config.embed_dim,
        training.n_parameters() as f64 / 1e6,
    ));
    line("## What it is for\n".to_owned());
    line(
        "To run everything with no download: tests, the main job, first experiments. It knows the objects, colours and relations of \
         the tasks below, as the cameras named there see them. It is in-domain and not open-vocabulary: a sentence with a word \
         outside its vocabulary is refused, and a picture of anything else gets a score that means nothing.\n"
            .to_owned(),
    );
    line("## Data\n".to_owned());
    let courses: Vec<&PretrainConfig> = training.earlier().iter().chain([config]).collect();
    line(format!(
        "{} pictures, each drawn once, of states scattered over what an agent could ever bring about; light, camera, colours and \
         surfaces vary. The last course:\n",
        courses.iter().map(|course| course.n_steps() * course.batch_size as u64).sum::<u64>(),
    ));
    line("| task | share | cameras | captions |\n|---|---|---|---|".to_owned());
    let total: f64 = config.tasks.iter().map(|t| t.share).sum();
    for (share, task) in config.tasks.iter().zip(training.tasks()) {
        let spec = task.spec();
        let percent = 100.0 * share.share / total;
        line(format!(
            "| {} | {percent:.0}% | {} | {} |",
            spec.id,
            spec.reward_cameras.join(", "),
            spec.captions.len()
        ));
    }
    line(String::new());
    line("## Training\n".to_owned());
    line(
        "Symmetric contrastive training with soft targets; a term for the marks of each axis, and one for the order of pictures between \
         its ends; and heads that regress positions on axes and landmarks from the pooled features, and find the landmarks among the \
         patches (training signals about pictures, not shipped). Adam with warm-up and cosine, on a CPU.\n"
            .to_owned(),
    );
    line("| course | seed | pictures | batch | learning rate | weight of the heads |\n|---|---|---|---|---|---|".to_owned());
    for (idx, course) in courses.iter().enumerate() {
        line(format!(
            "| {} | {} | {} | {} | {} | {} |",
            idx + 1,
            course.seed,
            course.n_steps() * course.batch_size as u64,
            course.batch_size,
            course.learning_rate,
            course.auxiliary_weight
        ));
    }
    line(String::new());
    line("## Held-out scenes\n".to_owned());
    line(
        "Spearman's rank correlation of the reward (goal prompt against baseline prompt, the task's own) with ground truth; AUC of \
         scenes that meet the goal against those that do not.\n"
            .to_owned(),
    );
    line("| task | goal | a camera at a time | averaged | AUC |\n|---|---|---|---|---|".to_owned());
    for goal in evaluations.iter().flat_map(|evaluation| &evaluation.goals) {
        let cameras: Vec<_> = goal.by_camera.iter().map(|(name, rho)| format!("{name} {rho:.3}")).collect();
        line(format!(
            "| {} | {} | {} | {:.3} | {:.3} |",
            goal.task,
            goal.goal,
            cameras.join(", "),
            goal.averaged,
            goal.auc
        ));
    }
    line(String::new());
    line(
        "Retrieval: how often the mark that scores best among those of its axis is the truest one.\n"
            .to_owned(),
    );
    line("| task | axis | best | within one mark | held-out mark |\n|---|---|---|---|---|".to_owned());
    for axis in evaluations.iter().flat_map(|evaluation| &evaluation.axes) {
        let held_out = if axis.has_held_out { "yes" } else { "" };
        line(format!(
            "| {} | {} | {:.3} | {:.3} | {held_out} |",
            axis.task, axis.axis, axis.top_1, axis.within_one
        ));
    }
    line(String::new());
    line(format!("Speed of the image tower: {images_per_sec:.0} pictures/s where this card was written.\n"));
    line("## Limits\n".to_owned());
    line(
        "Other cameras, other colours and other words are outside what it was trained on. One view is ambiguous in depth: use the task's \
         judge cameras together. A reward that is learnt can be exploited; ground truth is logged beside it for that reason."
            .to_owned(),
    );
    card
}
