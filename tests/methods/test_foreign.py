import pytest

from ire.invalid_input import InvalidInput
from ire.methods.method import check_different, named, parse_method
from ire.sweeps.experiments.train_one import train_one

PLAIN = """
class Plain(torch.optim.SGD):
    def __init__(self, params, lr=0.02, betas=(0.9, 0.99), eps=1e-8, power: float = 1, rank=4, nesterov=False,
                 mode="fast", hook=None, gamma=0.5, foreach=None):
        super().__init__(params, lr=lr)
"""


def test_settings_are_read_from_the_signature(module):
    base = parse_method(f"{module(PLAIN)}:Plain").base
    read = {name: (setting.type, setting.default) for name, setting in base.settings.items()}
    assert read == {
        "lr": (float, 0.02),
        "beta1": (float, 0.9),
        "beta2": (float, 0.99),
        "eps": (float, 1e-8),
        "power": (float, 1.0),
        "rank": (int, 4),
        "nesterov": (bool, False),
        "own_gamma": (float, 0.5),
    }
    assert base.settings["beta1"].interval == "[0, 1)"
    assert base.unread == {"mode": "a string, fixed at 'fast'", "hook": "its default None is not a number"}


def test_settings_become_the_constructors_arguments_again(module):
    method = parse_method(f"{module(PLAIN)}:Plain")
    settings = method.resolve({"lr": 0.1, "beta2": 0.5, "own_gamma": 0.25})
    assert method.base.keywords(settings) == {
        "lr": 0.1,
        "betas": (0.9, 0.5),
        "eps": 1e-8,
        "power": 1.0,
        "rank": 4,
        "nesterov": False,
        "gamma": 0.25,
    }


def test_a_class_without_weight_decay_has_no_such_setting(module):
    assert "weight_decay" not in parse_method(f"{module(PLAIN)}:Plain").settings


def test_parts_go_around_a_class_as_around_a_name(module):
    name = module(PLAIN)
    method = parse_method(f"sam-{name}:Plain-ire-random")
    assert (method.sam, method.ire, method.control, method.base.name) == (
        True,
        True,
        "random",
        f"{name}:Plain",
    )
    assert method.ancestors == (
        f"{name}:Plain",
        f"sam-{name}:Plain",
        f"sam-{name}:Plain-ire",
        f"sam-{name}:Plain-ire-random",
    )
    assert {"gamma", "own_gamma"} <= set(method.settings)


def test_a_short_name_stands_in_tables_and_the_whole_one_in_records(module):
    name = module(PLAIN)
    method = parse_method(f"mine={name}:Plain-ire")
    assert (method.label, method.name) == ("mine-ire", f"mine={name}:Plain-ire")
    assert parse_method(f"{name}:Plain").slug == f"{name}.Plain"


def test_a_short_name_is_written_out_in_the_other_arms(module):
    name = module(PLAIN)
    assert named(["adamw", f"mine={name}:Plain", "sam-mine-ire"]) == (
        "adamw",
        f"mine={name}:Plain",
        f"sam-mine={name}:Plain-ire",
    )


def test_two_arms_of_one_name_are_refused(module):
    name = module(PLAIN)
    with pytest.raises(InvalidInput, match="are the same name"):
        check_different([f"a={name}:Plain", f"a={module(PLAIN)}:Plain"])
    with pytest.raises(InvalidInput, match="names 'adamw' twice"):
        check_different(["adamw", "adamw"])
    with pytest.raises(InvalidInput, match="'mine' stands for both"):
        named([f"mine={name}:Plain", f"mine={module(PLAIN)}:Plain"])
    with pytest.raises(InvalidInput, match="'adamw' is the name of another method"):
        named([f"adamw={name}:Plain"])
    with pytest.raises(InvalidInput, match="'adamw' is the name of another method"):
        train_one("digits", f"adamw={name}:Plain", {}, print)


ABOUT = """
class Told(torch.optim.SGD):
    ire_method = {about}
    def __init__(self, params, lr=0.02, momentum=0.9, rank=None):
        super().__init__(params, lr=lr, momentum=momentum)
"""


def told(module, about):
    return f"{module(ABOUT.format(about=about))}:Told"


def test_a_class_says_more_about_itself_in_one_attribute(module):
    about = {
        "words": "mine",
        "settings": {
            "momentum": {"doc": "m", "high": 0.5, "default": 0.4},
            "lr": {"search": {"log": [0.1, 1], "published": 0.5}},
        },
        "gradients": 2,
        "fixed": {"rank": 3},
        "state_tensors": 1,
        "rest": "adamw",
        "takes": ["matrices"],
    }
    method = parse_method(told(module, about))
    assert method.base.words == "mine"
    assert method.settings["momentum"].default == 0.4
    assert method.gradients_per_step({}) == 2
    assert method.base.searched == {"lr": {"log": [0.1, 1], "published": 0.5}}
    assert method.base.takes == ("matrices",)
    assert {"rest_lr", "rest_beta1", "rest_beta2", "rest_eps"} <= set(method.settings)
    assert method.base.keywords(method.resolve({"lr": 0.1})) == {"lr": 0.1, "momentum": 0.4, "rank": 3}


def test_lr_is_searched_a_decade_around_its_default():
    assert parse_method("torch.optim:NAdam").base.searched == {
        "lr": {"log": [pytest.approx(2e-4), pytest.approx(2e-2)], "published": 2e-3}
    }


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"word": "x"}, "unknown key 'word' in ire_method of .*did you mean 'words'"),
        ({"settings": {"momentun": {}}}, "unknown setting of .*'momentun'.*did you mean 'momentum'"),
        ({"settings": {"momentum": {"hgih": 1}}}, "unknown key 'hgih'.*did you mean 'high'"),
        ({"settings": {"momentum": {"high": 0.5}}}, r"momentum = 0.9 in ire_method .*\[0, 0.5\)"),
        ({"fixed": {"rnk": 1}}, "unknown constructor argument of .*'rnk'.*did you mean 'rank'"),
        ({"gradients": 0}, "gradients = 0 in ire_method .*at least 1"),
        (
            {"takes": ["matrix"], "rest": "adamw"},
            "unknown kind of parameters 'matrix'.*did you mean 'matrices'",
        ),
        ({"takes": "matrices"}, "takes = 'matrices' in ire_method .*: must be a list of texts"),
        ({"refuses": {"ir": "no"}}, "unknown key 'ir' in .*, refuses: did you mean 'ire'"),
        ({"schedules": ["cosin"]}, "schedule = 'cosin' in ire_method .*: must be cosine"),
        ({"rates": {"own_lr": "momentun"}}, "unknown setting of .*'momentun'.*did you mean 'momentum'"),
        ({"rates": ["own_lr"]}, r"rates = \['own_lr'\] in ire_method .*: must be a dictionary"),
        (
            {"rates": {"own_lr": ["lr"]}},
            r"rates = .*\['lr'\]} in ire_method .*: must be a dictionary of texts",
        ),
        ({"settings": {"momentum": 0.5}}, "momentum = 0.5 in ire_method .*, settings: must be a dictionary"),
        ({"settings": {"momentum": {"low": "a"}}}, "low = 'a' in ire_method .*, momentum: must be a number"),
        ({"settings": {"momentum": {"type": "float"}}}, "type = 'float' in .*: must be int, float or bool"),
        (
            {"state_tensors": "many"},
            "state_tensors = 'many' in ire_method .*: must be a number of at least 0",
        ),
        ({"rest": "adamv"}, "unknown method 'adamv'"),
    ],
)
def test_what_a_class_says_wrongly_is_named(module, about, message):
    with pytest.raises(InvalidInput, match=message):
        parse_method(told(module, about))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Mine: ...", "is not a class derived from torch.optim.Optimizer"),
        ("Mine = 3", "is not a class derived from torch.optim.Optimizer"),
        (
            "class Mine(torch.optim.SGD):\n    def __init__(self, params, rank, lr=0.1): ...",
            "needs rank without a default.*ire_method = ",
        ),
        (
            "class Mine(torch.optim.SGD):\n    def __init__(self, params, rate=0.1): ...",
            "takes no lr, which the schedule sets",
        ),
        ("class Mine(torch.optim.SGD):\n    def step(self): ...", "step takes no closure; begin it with"),
        ("class Mina(torch.optim.SGD): ...", "unknown optimizer class 'Mine'.*did you mean 'Mina'"),
        ("import nowhere_at_all", "cannot import .*nowhere_at_all"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_in_one_line(module, text, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        parse_method(f"{module(text)}:Mine")
    assert "\n" not in str(refused.value)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(InvalidInput, match=r"cannot import 'nowhere\.at\.all'"):
        parse_method("nowhere.at.all:Mine")
