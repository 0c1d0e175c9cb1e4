from .engine import Cost, score_masks, score_texts
from .explain import attribute, attribute_many
from .options import METHODS, Options
from .self_checks import Check, SelfCheckError, self_check
