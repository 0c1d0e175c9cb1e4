"""Fine-tunes one rung with one strategy and seed: accelerate underneath, loss on the rule only.

``tuning`` loads, trains and saves; ``loop`` takes the optimiser steps; ``batches`` says which pairs each step sees;
``checkpoints`` lets a killed run go on; ``launch`` starts one run on several processes.
"""

from compliance_xai.train.batches import encode_examples
from compliance_xai.train.checkpoints import Checkpoints
from compliance_xai.train.loop import validation_losses
from compliance_xai.train.tuning import TrainResult, evaluated_weights, finetune, read_result

__all__ = [
    "Checkpoints",
    "TrainResult",
    "encode_examples",
    "evaluated_weights",
    "finetune",
    "read_result",
    "validation_losses",
]
