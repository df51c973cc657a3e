"""How long the runs of a config may train on its data: their updates, and the epochs that these make."""

from kdistill.config import Config
from kdistill.core.budget import Budget
from kdistill.datasets import Splits


def budget_of(config: Config, role: str, splits: Splits) -> Budget:
    """Return the budget of a run of `teacher` or `student`: an epoch of every arm has as many updates."""
    plan = config.training_for(role)
    return plan.budget(-(-splits.per_epoch // plan.batch_size))


def told(config: Config, splits: Splits, roles: tuple[str, ...]) -> dict[str, str]:
    """Return in words, by role, which epochs a number of updates makes; nothing where the config says the epochs."""
    chosen = [role for role in roles if config.training_for(role).steps is not None]
    return {role: budget_of(config, role, splits).words for role in chosen}
