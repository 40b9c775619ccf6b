"""The folder of a tiny run, written without a training: as a recipe leaves it, for its users."""

import jax
import jax.numpy as jnp
import numpy as np

import resnet_jax as rj
from experiments.flat import flatten, override
from experiments.recipe import Recipe
from resnet_jax.run import RunFolder
from resnet_jax.run.identity import layout
from resnet_jax.training import TrainState

CONFIG = override(
    Recipe(), variant="resnet18", stem="cifar", base_planes=4, dataset="digits", resize=12, crop=10
)
BEST, LAST = 20, 40


def create_small_model(num_classes):
    """Four narrow blocks."""
    return rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), num_classes, base_planes=8)


def random_variables(model, seed, channels):
    """With statistics and biases as training leaves them, none of them 0 or 1."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, channels)))
    generator = np.random.default_rng(seed)

    def draw(path, leaf):
        values = generator.standard_normal(leaf.shape, dtype=np.float32)
        name = path[-1].key
        if name == "var":
            return np.exp(values / 4)
        return values * values[..., 0].size ** -0.5 + float(name == "scale")

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_run(path, config=CONFIG, *, classes=10, channels=1, best_step=BEST, ema=False, data=None):
    """Write two checkpoints; return the model and the variables of each by its step."""
    model = config.model.build(classes)
    variables = {}
    with RunFolder(path) as folder:
        folder.begin(flatten(config), data=data)
        with folder.checkpoints as store:
            for step in (BEST, LAST):
                variables[step] = random_variables(model, step, channels)
                state = TrainState(
                    step=jnp.int32(step),
                    opt_state={"trace": jnp.zeros(3)},
                    **(random_variables(model, 7, channels) if ema else variables[step]),
                    ema=variables[step] if ema else {},
                )
                progress = {"best_step": best_step, "identity": layout(state)}
                store.save(state, progress, best_step=best_step)
    return model, variables
