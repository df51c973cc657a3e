"""Which columns of a table a model reads, in its order, and what they are called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdistill.core.errors import DataError
from kdistill.core.formatting import first_few
from kdistill.datasets.cells import is_number
from kdistill.datasets.csv_file import CsvFile

NAMED = 10  # columns, in messages
DROP_HINT = "Leave out a column that is no feature, such as the label, by --drop NAME."


@dataclass(frozen=True)
class WantedColumns:
    """The columns that a model reads.

    Attributes:
        count: number of features of the model.
        drop: names of columns that are not features, such as the label.
        columns: names of the columns of the training table, in order; empty if they are not recorded.
        features: names of the features of the training data, in order; empty if unknown.
        note: called with a sentence on columns that are ignored.
    """

    count: int
    drop: Sequence[str]
    columns: Sequence[str]
    features: Sequence[str]
    note: Callable[[str], None]

    def name_as_trained(self, table: CsvFile) -> None:
        """Give columns the names of the training data's, where a table has none.

        Without a line of names, a table that has the features alone has them in order. Early versions kept the empty
        name of a column without one.
        """
        if table.format.header is False and len(table.columns) == len(self.columns):
            table.columns = list(self.columns)
        if "" in self.features and len(table.nameless) == 1:
            table.columns[table.columns.index(table.nameless[0])] = ""

    def of(self, table: CsvFile) -> list[str]:
        """Return the names of the columns to read, in the model's order.

        Raises:
            DataError: the table has no names, or not the columns that the model reads.
        """
        names, place = table.columns, table.place
        if not self.features and not self.columns and all(map(is_number, names)):
            raise DataError(f"{place}: expected a first line with the names of the columns; received numbers")
        for name in self.drop:
            if name not in names:
                raise DataError(
                    f"{place}: there is no column {name!r} to drop; the columns are {first_few(names, NAMED)}"
                )
        received = [name for name in names if name not in self.drop]
        if trained_on := list(self.columns) or list(self.features):
            received = self._known(received, trained_on, place)
        if not self.columns and len(received) != self.count:
            raise DataError(
                f"{place}: expected {self.count} columns of features, in the order that the model was trained "
                f"on; received {len(received)}: {first_few(received, NAMED)}",
                hint=DROP_HINT,
            )
        return received

    def _known(self, received: list[str], trained_on: list[str], place: str) -> list[str]:
        """Return the model's columns after a check that a table has all of them; other columns are noted."""
        if missing := [name for name in trained_on if name not in set(received)]:
            raise DataError(
                f"{place}: expected the columns that the model was trained on: {first_few(missing, NAMED)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; received {first_few(received, NAMED)}"
            )
        if others := [name for name in received if name not in set(trained_on)]:
            self.note(f"{place}: ignored, not among the model's features: {first_few(others, NAMED)}.")
        return trained_on
