from .checks import Check, SelfCheckError, self_check
from .engine import Cost, score_masks, score_texts
from .explain import ablate_categories, aggregate, attribute, attribute_many
from .methods import METHODS
