"""Another policy in the prompt: what is asked, of which posts, and what counts as following it."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fakes import FakeEngine

from hsd_utils import policy, prompts

POSTS = pd.DataFrame(
    {
        "id": list("abcdef"),
        "text": ["one post", "two posts", "three posts", "four posts", "five posts", "six posts"],
        "label": [1, 1, 1, 1, 0, 1],
        "target": ["women", "women", "immigrants", "Muslims", "women", None],
    }
)


def test_half_of_the_posts_are_about_the_group_and_all_are_hateful():
    group, found = policy.chosen(POSTS, 3)
    assert group == "women" and found["label"].all() and found["target"].notna().all()
    assert found["about"].tolist() == [True, True, False]
    for posts, size in ((POSTS, 0), (POSTS[POSTS["label"] == 0], 3)):
        group, found = policy.chosen(posts, size)
        assert group is None and found.empty


def test_the_teachers_definition_is_replaced_and_the_student_gets_one():
    changed = policy.swaps("un", "women")
    assert list(changed) == [policy.AS_TAUGHT, "definition metahate", "group left out"]
    old, new = (prompts.definitions()[name].text for name in ("un", "metahate"))
    teacher = partial(prompts.teacher, shots=2)
    swapped = policy.asking(teacher, changed["definition metahate"])("a post")
    assert new in swapped[0]["content"] and old not in swapped[0]["content"]
    assert swapped[1:] == teacher("a post")[1:]
    (told,) = policy.asking(prompts.student, changed["definition metahate"])("a post")
    assert told["content"] == f"Hate speech is {new}\n{prompts.student('a post')[0]['content']}"
    assert policy.asking(teacher, changed[policy.AS_TAUGHT])("a post") == teacher("a post")


@pytest.mark.parametrize("converse", [prompts.student, partial(prompts.teacher, shots=2)])
def test_the_group_left_out_is_said_first_and_the_rest_stays(converse):
    first, *rest = policy.asking(converse, policy.swaps("un", "women")["group left out"])("a post")
    sentence, _, same = first["content"].partition("\n")
    assert "attacks on women are not hate speech" in sentence
    assert [{**first, "content": same}, *rest] == converse("a post")


class Obedient(FakeEngine):
    """Finds hate in every post, but not where the policy leaves its group out."""

    def answer(self, request):
        left_out = "attacks on women" in request.messages[0]["content"]
        about = self.post(request) in ("one post", "two posts")
        self.p_hate[self.post(request)] = 0.1 if left_out and about else 0.9
        return super().answer(request)


def test_following_lowers_the_group_and_remembering_moves_nothing(classifier):
    group, posts = policy.chosen(POSTS, 4)
    for engine, falls in ((Obedient(model="a/b"), (0.8, 0)), (FakeEngine(), (0, 0))):
        asked = classifier(engine, converse=prompts.student)
        p = policy.p_hate(asked, policy.swaps("un", group), posts)
        rows = pd.DataFrame(policy.moves(posts, p, 0.5, resamples=50, seed=0))
        rows = rows[rows["policy"] == "group left out"].set_index("posts_about")
        assert rows["posts"].to_dict() == {"the group": 2, "others": 2}
        assert [f["value"] for f in rows["fall"]] == pytest.approx(falls)
        flipped = [f["value"] for f in rows["flipped"]]
        assert flipped == [float(falls[0] > 0), 0.0]


def test_one_verdict_changed_is_counted_either_way():
    posts = pd.DataFrame({"about": [True, True, False]})
    p = {policy.AS_TAUGHT: np.array([0.4, 0.6, 0.6]), "x": np.array([0.6, 0.6, 0.7])}
    first, second = policy.moves(posts, p, 0.5, resamples=50, seed=0)
    assert first["flipped"]["value"] == 0.5 and first["fall"]["value"] == pytest.approx(-0.1)
    assert second["posts"] == 1 and second["fall"]["value"] is None  # one post has no interval


@dataclass
class Unread:
    converse: object = None

    def p_hate(self, _):
        return [None, 0.9]


def test_what_could_not_be_read_is_taken_for_a_half():
    found = policy.p_hate(Unread(), {"as taught": lambda told: told}, POSTS)
    assert found["as taught"].tolist() == [0.5, 0.9]
