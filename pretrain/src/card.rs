//! The model card: architecture, intended use, data, training, results and limitations of a pretrained model.

use std::fmt::Write as _;

use crate::catalogue::CONTEXT;
use crate::config::PretrainConfig;
use crate::evaluation::ModelEvalReport;
use crate::trainer::Pretraining;

/// The model card of a pretrained model, Markdown. `images_per_sec` is the speed of its image tower.
pub fn model_card(training: &Pretraining, evaluations: &[ModelEvalReport], images_per_sec: f64) -> String {
    let config = training.config();
    let mut card = String::new();
    let mut line = |text: String| {
        let _ = writeln!(card, "{text}");
    };
    line("# A small CLIP for Sayso's own scenes\n".to_owned());
    line(format!(
        "An image tower ({} px, patches of {}, width {}, {} layers) and a text tower (width {}, {} layers) with a shared \
         embedding space of {} dimensions: {:.2} million parameters, in Hugging Face format. `sayso pretrain` trained it from \
         random weights on images and captions that the simulator generates.\n",
        config.image_size,
        config.patch_size,
        config.width,
        config.n_layers,
        config.text_width,
        config.n_text_layers,
        config.embed_dim,
        training.n_parameters() as f64 / 1e6,
    ));
    line("## Intended use\n".to_owned());
    line(
        "Running Sayso without downloads: tests, training with the presets, first experiments. The training signal is ground \
         truth of the simulator, so the model is a learned success detector with a language interface. It is in-domain and not \
         open-vocabulary: it covers the objects, colours and relations of the tasks below, seen from the cameras listed there. A \
         sentence with a word outside its vocabulary is an error, and the score of any other image is meaningless.\n"
            .to_owned(),
    );
    let words = training.catalogue().words();
    line(format!(
        "The text tower reads up to {CONTEXT} tokens, start and end included, one for each word. It knows {} words, those of all \
         captions, instructions and paraphrases of its tasks: {}.\n",
        words.len(),
        words.join(", ")
    ));
    line("## Training data\n".to_owned());
    let runs: Vec<&PretrainConfig> = training.earlier().iter().chain([config]).collect();
    line(format!(
        "{} images, each rendered and used once, of states sampled from all that an agent can reach; light, camera, colours and \
         surfaces vary. The tasks of the last run:\n",
        runs.iter().map(|run| run.n_steps() * run.batch_size as u64).sum::<u64>(),
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
        "Symmetric contrastive training with soft targets, a cross-entropy over the levels of each axis (both defined below), and a \
         term for the order of images between the first and the last level of an axis. Auxiliary heads regress positions on axes and \
         landmarks from the pooled features, and locate the landmarks among the patches; they are not part of the model. All \
         targets are ground truth. Adam with warm-up and cosine decay, on a CPU.\n"
            .to_owned(),
    );
    line(
        "| run | seed | images | batch | learning rate | weight of the heads |\n|---|---|---|---|---|---|"
            .to_owned(),
    );
    for (idx, run) in runs.iter().enumerate() {
        line(format!(
            "| {} | {} | {} | {} | {} | {} |",
            idx + 1,
            run.seed,
            run.n_steps() * run.batch_size as u64,
            run.batch_size,
            run.learning_rate,
            run.auxiliary_weight
        ));
    }
    line(String::new());
    line("## Results on held-out scenes\n".to_owned());
    line(
        "Spearman's rank correlation of the reward (with the goal prompt and the baseline prompt of the task) with ground truth, for \
         each camera and with the cameras' scores averaged; the lowest with the instruction or a paraphrase in place of the goal \
         prompt; AUC of scenes that meet the goal against all others, and against the nearest tenth of them.\n"
            .to_owned(),
    );
    line(
        "| task | goal | per camera | averaged | lowest with an instruction | AUC | AUC, nearest |\n|---|---|---|---|---|---|---|"
            .to_owned(),
    );
    for goal in evaluations.iter().flat_map(|evaluation| &evaluation.goals) {
        let cameras: Vec<_> = goal.by_camera.iter().map(|(name, rho)| format!("{name} {rho:.3}")).collect();
        line(format!(
            "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
            goal.task,
            goal.goal,
            cameras.join(", "),
            goal.averaged,
            goal.worst_instruction,
            goal.auc,
            goal.auc_near
        ));
    }
    line(String::new());
    line(
        "An axis is a quantity that captions describe, such as the gap between the gripper and the red ball, or the angle of the \
         pole. Its levels are the captions from one end of the quantity to the other: five for a gap, from \"touching\" to \"far \
         from\", seven for the angle, from \"vertically upright\" to \"hanging straight down\". An axis is named by its first \
         level.\n"
            .to_owned(),
    );
    line("Retrieval: how often the level of an axis that scores best is the truest one.\n".to_owned());
    line("| task | axis | best | within one level | held-out level |\n|---|---|---|---|---|".to_owned());
    for axis in evaluations.iter().flat_map(|evaluation| &evaluation.axes) {
        let held_out = if axis.has_held_out { "yes" } else { "" };
        line(format!(
            "| {} | {} | {:.3} | {:.3} | {held_out} |",
            axis.task, axis.axis, axis.top_1, axis.within_one
        ));
    }
    line(String::new());
    line(format!(
        "Speed of the image tower: {images_per_sec:.0} images/s on the machine that wrote this model card.\n"
    ));
    line("## Limitations\n".to_owned());
    line(
        "The model was trained only for the cameras, colours and words of its tasks. One view is ambiguous in depth: use all \
         reward cameras of the task. A policy can exploit a learned reward; ground truth is logged beside it for that reason."
            .to_owned(),
    );
    card
}
