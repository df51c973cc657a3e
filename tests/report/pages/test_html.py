import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import report_content as made

from kdistill.config import Distill
from kdistill.evaluation.causes import causes
from kdistill.evaluation.leaderboard import Entry, leaderboard
from kdistill.evaluation.measures import ACCURACY
from kdistill.evaluation.verdict import Answers
from kdistill.report.pages import markdown
from kdistill.report.pages.html import SECTIONS, prose, render
from kdistill.report.plots import all_plots

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Reads a page as a browser would: elements in order, their text, and what is not closed as it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.wrong = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def html():
    return render(made.report())


@pytest.fixture(scope="module")
def read(html):
    return Reader(html)


def test_every_element_is_closed_as_it_was_opened(read):
    assert (read.open, read.wrong) == ([], [])


def test_names_are_text_whatever_is_in_them(read):
    assert not [tag for tag in ("b", "script", "i") if any(attrs.get("onerror") for attrs in read.all(tag))]
    assert "<b>bold</b> & 'x'" in read.text
    assert "$\\frac{1}{0}$ | pipe" in read.text
    assert "length <i>" in read.text
    assert "A run failed: <why>." in read.text
    assert "failed: it <diverged>" in read.text
    assert "failed: it <broke>" in read.text
    assert "long " * 20 not in read.text


@pytest.mark.parametrize(
    "end", ["</style><script>x()</script>", '"><script>x()</script>', "</svg><script>x()</script>"]
)
def test_no_name_can_become_an_element(end):
    named = made.report(name=end, class_names=[end] * 4, confusion=made.confusion([end] * 4), sweep=None)
    read = Reader(render(named))
    assert not read.all("script")
    assert (read.open, read.wrong) == ([], [])
    assert end in read.text


def test_the_page_loads_nothing(html, read):
    policy = next(attrs["content"] for attrs in read.all("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'")
    assert not any(read.all(tag) for tag in ("script", "link", "iframe", "object", "form", "base"))
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in read.all("img"))
    assert set(re.findall(r"https?://[^\"' )]*", html)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in re.sub(r"url\(#", "", html)


def test_ids_are_unique_and_every_reference_has_one(html, read):
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"] for _, attrs in read.elements if "href" in attrs}
    referred = {link[1:] for link in links} | set(re.findall(r"url\(#([^)]*)\)", html))
    referred |= {attrs["aria-labelledby"] for _, attrs in read.elements if "aria-labelledby" in attrs}
    assert all(link.startswith("#") for link in links)
    assert referred <= set(ids)


def test_sections_come_in_the_order_in_which_they_are_asked_for(read):
    ids = [attrs["id"] for attrs in read.all("h2")]
    assert ids == ["verdict", *(of for of in SECTIONS if of != "causes")]  # without controls


def test_pictures_tables_and_figures_have_their_words(read):
    assert all(attrs.get("alt") for attrs in read.all("img"))
    assert len(read.all("img")) == 2  # one was fixed, one is softened; a row of a table has none
    svgs = read.all("svg")
    assert len(svgs) == 17
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 10 for attrs in svgs)
    assert len(read.all("table")) == len(read.all("caption")) == 5
    assert len(read.all("figure")) == len(read.all("figcaption"))
    assert all("scope" in attrs for attrs in read.all("th"))


def test_the_numbers_are_there(read):
    assert "Mean difference +0.16 points, 95 % interval -0.10 to +0.42 on this test set, p = 0.2." in read.text
    assert "McNemar's test at 5 % finds a difference in 1 of 5 seeds" in read.text
    assert "0.9050 ± 0.0071" in read.text
    assert "0.8300" in read.text
    assert "numpy 2.4 and 2.5" in read.text
    assert "kdistill reproduce -c 'a b.yaml'" in read.text
    assert "1,210" in read.text
    assert "Measured 2026-01-01T00:00:00 on a machine, 2 cores, 1 thread." in read.text
    assert "Minimum detectable difference 0.50 points (80 % power)." in read.text
    assert "e" * 64 in read.text
    assert "loss = 0.9 * 4^2 * KL(...)" in read.text
    assert "2 caveats" in read.text  # of a run, and of the choice of epochs


def test_the_first_box_has_the_headline_the_verdict_and_the_plot_of_size(html):
    box = html.partition("<section")[2].partition("</section>")[0]
    text = Reader(f"<section{box}</section>").text
    assert text.index("Student: 1.4 % of") < text.index("Did distillation help?") < text.index("In <short>:")
    assert 'aria-label="teacher 0.9550 ± 0.0071 with 1,210 parameters; baseline' in box
    assert "Inconclusive: +0.16 points." not in text


def test_a_verdict_of_an_early_version_has_one_sentence():
    assert "Inconclusive: +0.16 points." in Reader(render(made.report(verdict=made.verdict(short="")))).text


def test_a_sentence_is_not_broken_before_a_per_cent_sign():
    assert prose("at 95 % and 5 %") == "at 95\u00a0% and 5\u00a0%"


def test_the_arms_are_named_by_what_kept_their_epochs_only_where_that_differs():
    one = "A mark is the epoch whose weights were kept: by val_nll (patience 3)."
    assert one in Reader(render(made.report())).text.replace(" (", " (")
    teacher = dataclasses.replace(made.curves("teacher"), monitor="val_accuracy", patience=None)
    arms = [teacher, made.curves("baseline"), made.curves("distilled", runs=3)]
    text = Reader(render(made.report(curves=arms))).text
    assert "teacher by val_accuracy , baseline and distilled by val_nll (patience 3)." in text
    assert "Of 3 or more runs of an arm, the line is the mean" in text
    assert "the line is the mean" not in Reader(render(made.report())).text


def test_p_values_that_are_tiny_are_not_shown_as_none():
    assert "p < 0.001." in Reader(render(made.report(verdict=made.verdict(p_value=1e-9)))).text


def test_backticks_are_code_and_nothing_in_them_is_markup():
    assert prose("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert prose("one ` alone") == "one ` alone"


def test_a_page_without_results_gives_the_reasons():
    read = Reader(render(made.nothing()))
    assert (read.open, read.wrong) == ([], [])
    assert "There is no verdict." in read.text
    for part in made.nothing().missing:
        assert f"No {part} <yet>." in read.text
    ids = [attrs["id"] for attrs in read.all("h2")]
    assert "sweep" not in ids  # it was never to have one
    assert "None found." in read.text


def test_an_experiment_that_is_no_sweep_has_no_section_for_one():
    read = Reader(render(made.report(sweep=None)))
    assert "sweep" not in {attrs.get("id") for _, attrs in read.elements}


def test_a_temperature_of_one_softens_nothing_and_the_page_says_so(read):
    assert "Soft targets at T = 1 and T = 4" in read.text
    unsoftened = Reader(render(made.report(softened=made.softened(1.0)))).text
    assert "they are not softened" in unsoftened
    assert "Soft targets at T = 1 " in unsoftened
    assert "T = 4" not in unsoftened.partition("Objective")[0]


@pytest.mark.slow
def test_matched_logits_have_another_objective():
    distill = Distill(alpha=0.9, temperature=4.0, soft_loss="mse")
    objective = dataclasses.replace(made.report().objective, distill=distill)
    text = Reader(render(made.report(objective=objective))).text
    assert "the student's divided by T = 4, the teacher's by 4, times T² = 16: T cancels" in text
    assert "penalty" not in text
    distill = distill.model_copy(update={"teacher_temperature": 2.0})
    objective = dataclasses.replace(objective, distill=distill, l2=0.01)
    text = Reader(render(made.report(objective=objective))).text
    assert "the teacher's by 2, times T² = 16." in text
    assert "both add an L2 penalty on the student's weights, 0.01 times" in text
    assert "Kullback" not in text


def test_the_same_content_is_the_same_page(html):
    assert render(made.report(), all_plots.draw(made.report())) == html


@pytest.mark.slow
def test_characters_that_no_page_can_hold_do_not_stop_it():
    named = made.report(name="a\x00b\udc80", class_names=["\x00", "\ud800", "\x1b[31m", "é"], sweep=None)
    render(named).encode()


def test_controls_have_a_section_with_what_they_tell():
    base, gain = np.array([0.80, 0.81, 0.79]), np.array([0.02, 0.021, 0.019])
    answers = {"baseline": base, "distilled": base + gain, "pseudo": base + np.array([0.001, -0.001, 0.002])}
    told = causes({arm: {seed: Answers(float(score)) for seed, score in enumerate(of)} for arm, of in answers.items()})
    scores = [made.arm("pseudo", 0.805)]
    read = Reader(render(made.report(causes=told, controls=scores)))
    assert "What the control arms tell" in read.text
    assert "0.8100 ± 0.0071" in read.text
    assert "The teacher's hard answers: +0.07 points" in read.text
    assert "corrected by Holm's method for all 2 comparisons" in read.text
    assert "pseudo : The class that the teacher gives each example" in read.text
    assert "smoothed :" not in read.text
    text, _ = markdown.render(made.report(causes=told, controls=scores), "pictures")
    assert "| pseudo |" in text
    assert "- The teacher's hard answers: +0.07 points" in text


def test_a_leaderboard_is_on_the_page_with_its_p_values_and_sentences():
    base = np.array([0.90, 0.91, 0.89])
    cells = {"<kl>": base, "dkd": base + np.array([0.02, 0.025, 0.02])}
    entries = [Entry(name, {"distill.soft_loss": name}, list(scores)) for name, scores in cells.items()]
    board = leaderboard([*entries, Entry("baseline", None, [0.88, 0.895, 0.88])], "dkd", ACCURACY)
    report = made.report(sweep=dataclasses.replace(made.sweep(), leaderboard=board))
    read = Reader(render(report))
    assert "Leaderboard: validation accuracy, the best first, and differences in points" in read.text
    assert "<kl> 0.9000 ± 0.0100 -2.17, p = 0.018 +1.50, p = 0.035" in read.text
    text, _ = markdown.render(report, "pictures")
    for shown in (read.text, text):
        assert "dkd has the best mean validation accuracy, 0.9217. It is better than" in shown
        assert "for all 3 pairs of cells and baseline" in shown
    assert "Leaderboard" not in Reader(render(made.report())).text
