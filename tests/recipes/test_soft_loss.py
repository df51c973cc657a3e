"""What is told of a soft loss, and refused, once the data are known."""

from types import SimpleNamespace

import pytest

from kdistill import config as configs
from kdistill.core.errors import ConfigError
from kdistill.recipes import soft_loss


def config(*overrides):
    return configs.load("quickstart", ["distill={}", *overrides])


def splits(classes=10, examples=1005):
    return SimpleNamespace(classes=[str(number) for number in range(classes)], per_epoch=examples)


def test_two_classes_are_refused_with_the_reason_and_a_way_out():
    with pytest.raises(ConfigError) as error:
        soft_loss.fits(config("distill.soft_loss=dkd"), splits(2))
    assert error.value.message == (
        "distill.soft_loss: expected at least 3 classes; received 2: with one other class, dkd is dkd_target times kl"
    )
    assert error.value.hint == "Losses without such a need: kl, mse, wttm, wsld."
    with pytest.raises(ConfigError, match="two standardised logits are") as error:
        soft_loss.fits(config("distill.standardize=true"), splits(2))
    assert error.value.hint == "Remove this key."
    soft_loss.fits(config("distill.soft_loss=wsld"), splits(2))


def test_batches_too_small_for_correlations_are_refused():
    with pytest.raises(ConfigError, match="expected at least 3 examples in a batch; received 2"):
        soft_loss.fits(config("distill.soft_loss=dist", "student.batch_size=2"), splits())
    soft_loss.fits(config("distill.soft_loss=dist", "teacher.batch_size=2"), splits())


def test_a_short_last_batch_without_correlations_is_told():
    found = soft_loss.notes(config("distill.soft_loss=dist"), splits(examples=10 * 32 + 2))
    assert found == [
        "The last batch of each epoch has 2 examples: the correlation over a batch of two is 1 or -1, over one "
        "undefined"
    ]
    assert soft_loss.notes(config("distill.soft_loss=dist"), splits(examples=10 * 32 + 3)) == []
    assert soft_loss.notes(config("distill.soft_loss=dkd"), splits(examples=10 * 32 + 1)) == []


def test_with_plain_gradient_descent_the_factor_is_told():
    (note,) = soft_loss.notes(config("distill.soft_loss=wttm", "training.optimizer=sgd"), splits())
    assert note.startswith("The authors' loss is 46 times this one, and sgd takes steps in proportion to the loss")
    assert soft_loss.notes(config("distill.soft_loss=wttm"), splits()) == []
    assert soft_loss.notes(config("training.optimizer=sgd"), splits()) == []


def test_a_warm_up_longer_than_the_training_is_told():
    (note,) = soft_loss.notes(config("distill.soft_loss=dkd", "training.epochs=10"), splits())
    assert note == "The soft term has its full weight from epoch 20 on (distill.dkd_warmup), of 10 epochs"
    assert soft_loss.notes(config("distill.soft_loss=dkd", "training.epochs=20"), splits()) == []
    (note,) = soft_loss.notes(config("distill.soft_loss=dkd", "training.steps=600"), splits())
    assert note.endswith("of 19 epochs")


def test_standardised_logits_warn_of_the_likelihood():
    (warning,) = soft_loss.warnings(config("distill.standardize=true"), splits())
    assert "at T = 2 no probability of 10 classes is above 0.35." in warning
    assert warning.endswith("Early stopping watches val_nll: set student.monitor to val_accuracy.")
    (warning,) = soft_loss.warnings(config("distill.standardize=true", "student.monitor=val_accuracy"), splits())
    assert "Early stopping" not in warning
    assert soft_loss.warnings(config("distill.soft_loss=dkd"), splits()) == []
