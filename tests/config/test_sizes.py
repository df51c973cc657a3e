"""Sizes of teachers and students: weights counted as Keras counts them, students within their share, fitting layers."""

import pytest

from kdistill import models
from kdistill.config import Model, architecture, sizes
from kdistill.config.schema import TeacherModel
from kdistill.core.kinds import Example
from kdistill.core.scaling import Tokens

EXAMPLES = {
    "table": Example((5,), 2, "table"),
    "wide table": Example((784,), 10, "table"),
    "small images": Example((8, 8), 10, "image"),
    "grey": Example((28, 28), 10, "image"),
    "colour": Example((32, 32, 3), 5, "image"),
    "large": Example((224, 160, 3), 3, "image"),
    "sequence": Example((40, 3), 4, "sequence"),
    "short sequence": Example((6, 3), 4, "sequence"),
    "tokens": Example((30,), 2, "tokens"),
    "volume": Example((16, 16, 16), 2, "volume"),
}
VOCABULARY = 50


def vocabulary(example):
    return VOCABULARY if example.kind == "tokens" else None


def counted(section, example, role="student"):
    """Return how many weights Keras says that the model has."""
    scale = Tokens(VOCABULARY) if example.kind == "tokens" else 1.0
    return models.build(section, role, *example[:2], scale, 0, kind=example.kind).count_params()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"hidden": [7, 5]}, "table"),
        ({"hidden": [7], "batch_norm": True}, "table"),
        ({"conv": [4, 6], "hidden": [3]}, "grey"),
        ({"conv": [4, 6, 8], "separable": True, "batch_norm": True, "global_pool": True, "hidden": []}, "colour"),
        ({"conv": [4], "kernel": 5, "pool": 1, "hidden": []}, "sequence"),
        ({"recurrent": [5, 3], "hidden": [4]}, "sequence"),
        ({"recurrent": [5], "cell": "gru", "hidden": []}, "sequence"),
        ({"embedding": 6, "hidden": []}, "tokens"),
        ({"embedding": 6, "recurrent": [4], "hidden": [3]}, "tokens"),
        ({"embedding": 6, "conv": [4], "hidden": [3]}, "tokens"),
        ({"conv": [2, 3], "hidden": []}, "volume"),
    ],
)
def test_weights_are_counted_as_keras_counts_them(keys, name):
    example, section = EXAMPLES[name], Model.model_validate(keys)
    assert architecture.parameters(section, *example, vocabulary(example)) == counted(section, example)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("like", [sizes.Layers(True), sizes.Layers(False), sizes.Layers(False, True)])
def test_a_student_is_the_largest_within_its_share(name, like):
    example = EXAMPLES[name]
    smallest = sizes.student(example, 10, like, vocabulary(example))
    for count in (10**4, 10**5, 10**6, 10**7):
        size = sizes.student(example, count, like, vocabulary(example))
        assert size.parameters <= sizes.SHARE * count or size == smallest
        largest = size.section.get("conv", [0])[0] == sizes.MOST_FILTERS or str(sizes.WIDTHS[-1]) in str(size.section)
        assert size.parameters > sizes.SHARE * count / 5 or size == smallest or largest
        section = Model.model_validate(size.section)
        architecture.check_layers(section, "student", example.shape, example.kind)
        assert size.parameters == architecture.parameters(section, *example, vocabulary(example))


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"large"}))
def test_a_teacher_fits_and_its_student_has_a_small_share_of_it(name):
    example = EXAMPLES[name]
    teacher = sizes.teacher(example, vocabulary(example))
    assert teacher.parameters == counted(TeacherModel.model_validate(teacher.section), example, "teacher")
    student = sizes.student(example, teacher.parameters, sizes.Layers(), vocabulary(example))
    assert student.parameters <= 0.05 * teacher.parameters or name == "tokens"


def test_students_have_the_layers_of_their_teachers_where_the_data_suit_them():
    def of(name, convolutions=False, recurrent=False):
        example = EXAMPLES[name]
        return sizes.student(example, 10**5, sizes.Layers(convolutions, recurrent), vocabulary(example)).section

    assert len(of("grey", convolutions=True)["conv"]) == 2
    assert of("colour", convolutions=True)["global_pool"]
    assert set(of("grey")) == set(of("small images", convolutions=True)) == {"hidden"}
    assert set(of("sequence", recurrent=True)) == {"recurrent", "hidden"}
    assert set(of("tokens", recurrent=True)) == {"embedding", "recurrent", "hidden"}
    assert set(of("tokens")) == {"embedding", "hidden"}
    assert set(of("short sequence", convolutions=True)) == set(of("table", convolutions=True)) == {"hidden"}


def test_dense_layers_that_are_too_large_give_way_to_convolutions():
    example = EXAMPLES["large"]
    assert "conv" in sizes.student(example, 10**6, sizes.Layers(False)).section
    assert "conv" not in sizes.student(example, 10**8, sizes.Layers(False)).section


def test_few_examples_are_seen_more_often():
    few, many = sizes.training(100), sizes.training(10**5)
    assert few["epochs"] > many["epochs"]
    assert few["batch_size"] < many["batch_size"]
    assert [sizes.training(count)["batch_size"] for count in (1, 5, 16, 127, 128, 4999)] == [1, 1, 4, 16, 32, 32]
