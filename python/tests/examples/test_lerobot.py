"""LeRobot's own loader, rollout and evaluation with Sayso's tasks."""

import gymnasium
import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is absent")

import av
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import HubEnvConfig
from lerobot.envs.factory import make_env
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.scripts.lerobot_eval import eval_policy_all, rollout

N_ENVS = 2


def unchanged(batch):
    return batch


PROCESSORS = dict.fromkeys(
    ("env_preprocessor", "env_postprocessor", "preprocessor", "postprocessor"), unchanged
)


@pytest.fixture
def envs(example, monkeypatch):
    """The vectors that LeRobot creates from the example as ``env.py`` of a hub repository, without the download."""
    file = example("lerobot_env").__file__
    found = ("someone/sayso", "env.py", file, None)
    monkeypatch.setattr("lerobot.envs.factory._download_hub_file", lambda *args, **kwargs: found)
    config = HubEnvConfig(task="red,green", hub_path="someone/sayso")
    return make_env(config, n_envs=N_ENVS, trust_remote_code=True)


class RecordingPolicy(torch.nn.Module):
    """Takes random actions, and records observations and actions."""

    def reset(self):
        self.batches, self.actions = [], []
        self.random = torch.Generator().manual_seed(0)

    def select_action(self, batch):
        self.batches.append(batch)
        self.actions.append(2 * torch.rand(N_ENVS, 3, generator=self.random) - 1)
        return self.actions[-1]


def test_a_policy_gets_the_keys_that_lerobot_documents(envs):
    assert list(envs["Reach-v1"]) == [0, 1]
    for vector in envs["Reach-v1"].values():
        policy = RecordingPolicy()
        rollout(vector, policy, **PROCESSORS, seeds=[5, 6])
        batch = policy.batches[0]
        assert len(policy.batches) == 50
        assert batch["task"] == [vector.task_description] * N_ENVS
        shapes = {key: tuple(value.shape) for key, value in batch.items() if key != "task"}
        assert shapes == {
            "observation.image": (N_ENVS, 3, 96, 96),
            "observation.state": (N_ENVS, 18),
            "observation.environment_state": (N_ENVS, 18),
        }


def test_a_rollout_equals_the_episode_of_a_plain_vector(envs):
    vector, policy = envs["Reach-v1"][1], RecordingPolicy()
    data = rollout(vector, policy, **PROCESSORS, seeds=[5, 9], return_observations=True)
    plain = gymnasium.make_vec("sayso/Reach-v1", num_envs=N_ENVS, instruction="green", autoreset_mode="same_step")
    observation, _ = plain.reset(seed=[5, 9])
    for step, action in enumerate(policy.actions):
        parts = [data["observation"][f"observation.{part}"][:, step] for part in ("state", "environment_state")]
        assert np.array_equal(np.concatenate(parts, axis=1), observation)
        observation, rewards, _, _, infos = plain.step(action.numpy())
        assert np.array_equal(data["reward"][:, step], rewards)
    last = data["observation"]["observation.state"][:, -1]
    assert np.array_equal(last, np.stack(infos["final_obs"])[:, :18])
    assert np.array_equal(data["success"][:, -1], infos["final_info"]["is_success"])


def test_seeds_determine_episodes(envs):
    vector = envs["Reach-v1"][0]
    runs = []
    for seeds in ([5, 9], [5, 9], [6, 9]):
        policy = RecordingPolicy()
        data = rollout(vector, policy, **PROCESSORS, seeds=seeds, return_observations=True)
        runs.append(data["observation"]["observation.image"])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0][0], runs[2][0]) and torch.equal(runs[0][1], runs[2][1])


def test_lerobot_reports_the_success_of_the_policies(example, capsys):
    module = example("lerobot_env")
    assert list(module.main(["--n-envs", "3"]).values()) == [1.0, 1.0, 1.0]
    assert list(module.main(["--n-envs", "3", "--policy", "random"]).values()) == [0.0, 0.0, 0.0]
    assert "100% succeed" in capsys.readouterr().out


def test_lerobots_evaluation_runs_its_own_policy_and_writes_videos(envs, tmp_path):
    state, environment = (PolicyFeature(FeatureType[kind], (18,)) for kind in ("STATE", "ENV"))
    config = ACTConfig(
        input_features={"observation.state": state, "observation.environment_state": environment},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (3,))},
        chunk_size=5,
        n_action_steps=5,
        dim_model=16,
        n_heads=2,
        dim_feedforward=16,
        n_encoder_layers=1,
        use_vae=False,
        device="cpu",
    )
    result = eval_policy_all(
        envs,
        ACTPolicy(config),
        **PROCESSORS,
        n_episodes=N_ENVS,
        max_episodes_rendered=1,
        videos_dir=tmp_path,
        start_seed=0,
    )
    assert result["overall"]["n_episodes"] == 2 * N_ENVS and result["overall"]["pc_success"] == 0.0
    videos = result["overall"]["video_paths"]
    assert len(videos) == 2
    with av.open(videos[0]) as video:
        shapes = [frame.to_ndarray(format="rgb24").shape for frame in video.decode(video=0)]
    # LeRobot does not record the frame after the last action.
    assert shapes == [(240, 240, 3)] * 50
