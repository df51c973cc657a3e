"""How long a run may train: its updates, and the epochs that they make."""

from dataclasses import dataclass

from kdistill.core.formatting import counted


@dataclass(frozen=True)
class Budget:
    """The most updates that a run may have.

    Attributes:
        updates: steps of the optimizer, at least one.
        per_epoch: updates in an epoch; the last epoch may have fewer.
    """

    updates: int
    per_epoch: int

    @property
    def epochs(self) -> int:
        """The number of epochs, of which the last may be incomplete."""
        return -(-self.updates // self.per_epoch)

    def after(self, epoch: int) -> int:
        """Return how many updates there were at the end of an epoch, counted from 1."""
        return min(epoch * self.per_epoch, self.updates)

    def within(self, epoch: int) -> int:
        """Return how many updates an epoch has, counted from 1."""
        return self.after(epoch) - self.after(epoch - 1)

    @property
    def words(self) -> str:
        """The updates and the epochs in words, such as `6,000 updates: 12 epochs of 500`."""
        last = self.within(self.epochs)
        if self.epochs == 1:
            of = "" if last == self.per_epoch else f" of the {self.per_epoch:,} of an epoch"
            return f"{counted(self.updates, 'update')}{of or ': 1 epoch'}"
        cut = "" if last == self.per_epoch else f", the last of {last:,}"
        return f"{self.updates:,} updates: {self.epochs:,} epochs of {self.per_epoch:,}{cut}"
