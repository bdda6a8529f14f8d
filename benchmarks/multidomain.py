"""What knowing the domain adds, on planted data: AUC in each domain, small ones too.

    python benchmarks/multidomain.py [model ...] [--seeds 5] [--epochs 8]

Data. Users and items have hidden vectors of length 6, an item also a popularity. What
a user likes is the same everywhere in four directions of these; in the other two each
domain turns it, by 45 degrees more than the next larger one, so that the smallest is
opposite to the largest; and items have a popularity of the domain beside the common
one. The domains have 60, 25, 10, 4 and 1 percent of the rows and
base rates between 5 and 35 percent. A row has the user, the item, their groups
(noisy, of the hidden vectors), the user's last ten liked items with the domain of
each, and the domain. Users and items are drawn alike for training, validation and
test; validation and test have as many rows of the smallest domain as of the largest,
since each has a figure of its own. The best possible AUC is that of the probabilities
the labels were drawn from.

All models get the same fields of dim 16, the same rows, hidden layers (100, 64), mean
pooling of histories where the model has no attention of its own, Adam at 0.001,
batches of 256 and as many epochs, of which the best by validation AUC, averaged over
domains, is taken; nothing else is tuned. `blind` is DeepFM without the domain and the
places of the history; `deepfm` and `dcn` know them as features like others. Prints
mean and standard deviation of the test AUC over seeds of the weights, the smallest of
the domains' mean differences from `blind` at the same seed with the half-width of its
95 % interval (Student, over seeds), and in how many domains that interval, of the
domain, is above zero.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import inspect
from importlib import import_module

import keras
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from recsys import Field, Task, create_model, list_models
from recsys.metrics.auc import auc

BLIND, AWARE = "blind", ("deepfm", "dcn")
SHARES = np.array([0.60, 0.25, 0.10, 0.04, 0.01])
RATES = np.array([0.05, 0.10, 0.20, 0.15, 0.35])
ANGLES = np.deg2rad([0, 45, 90, 135, 180])
USERS, ITEMS, GROUPS, LENGTH, SHARED, OWN = 500, 200, 20, 10, 4, 2
TRAIN, VALID, TEST = 100_000, 10_000, 40_000  # the last two in each domain
UNITS = (100, 64)


class World:
    """Users and items, and what is liked where."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        size = (SHARED + OWN,)
        self.users = self.rng.normal(size=(USERS, *size)) / np.sqrt(SHARED + OWN)
        self.items = self.rng.normal(size=(ITEMS, *size))
        self.popular = 0.5 * self.rng.normal(size=ITEMS)
        self.popular_here = 0.7 * self.rng.normal(size=(len(SHARES), ITEMS))
        self.groups = {
            "user_group": self._grouped(self.users),
            "item_group": self._grouped(self.items),
        }
        self.bias = np.zeros(len(SHARES))
        for domain, rate in enumerate(RATES):
            self.bias[domain] = self._bias_for(domain, rate)

    def _grouped(self, vectors: np.ndarray) -> np.ndarray:
        noisy = vectors + 0.5 * vectors.std() * self.rng.normal(size=vectors.shape)
        centres = noisy[self.rng.choice(len(noisy), GROUPS, replace=False)]
        return ((noisy[:, None] - centres) ** 2).sum(-1).argmin(1) + 1

    def logit(self, user, item, domain) -> np.ndarray:
        u, v = self.users[user], self.items[item]
        shared = (u[:, :SHARED] * v[:, :SHARED]).sum(1)
        cos, sin = np.cos(ANGLES[domain]), np.sin(ANGLES[domain])
        one, two = u[:, SHARED], u[:, SHARED + 1]
        turned = (one * cos - two * sin) * v[:, SHARED]
        turned += (one * sin + two * cos) * v[:, SHARED + 1]
        own = self.popular_here[domain, item]
        z = 2.0 * shared + 3.0 * turned + self.popular[item] + own
        return z + self.bias[domain]

    def _bias_for(self, domain: int, rate: float) -> float:
        """The bias with which that share of random rows is liked, by bisection."""
        user, item, domains = self._drawn(50_000, domain)
        z, low, high = self.logit(user, item, domains), -20.0, 20.0
        for _ in range(40):
            middle = (low + high) / 2
            above = (1 / (1 + np.exp(-z - middle))).mean() > rate
            low, high = (low, middle) if above else (middle, high)
        return middle

    def _drawn(self, n: int, domain: int | None = None):
        user, item = self.rng.integers(0, USERS, n), self.rng.integers(0, ITEMS, n)
        if domain is not None:
            return user, item, np.full(n, domain)
        return user, item, self.rng.choice(len(SHARES), n, p=SHARES)

    def histories(self) -> None:
        """Draws what each user has liked before; ids and places count from 1."""
        self.seen = np.zeros((USERS, LENGTH), int)
        self.place = np.zeros((USERS, LENGTH), int)
        count = np.zeros(USERS, int)
        for _ in range(40):  # enough for nearly all
            _, item, domain = self._drawn(USERS * 2)
            user = np.repeat(np.arange(USERS), 2)
            p = 1 / (1 + np.exp(-self.logit(user, item, domain)))
            for i in np.flatnonzero(self.rng.random(len(p)) < p):
                if count[user[i]] < LENGTH:
                    self.seen[user[i], count[user[i]]] = item[i] + 1
                    self.place[user[i], count[user[i]]] = domain[i]
                    count[user[i]] += 1

    def rows(self, n: int, each: bool = False) -> tuple[dict, np.ndarray, np.ndarray]:
        """Returns columns, labels, and the probabilities they were drawn from.

        `each`: of every domain n rows, not n by the domains' shares.
        """
        user, item, domain = self._drawn(n * len(SHARES) if each else n)
        domain = np.arange(len(domain)) % len(SHARES) if each else domain
        p = 1 / (1 + np.exp(-self.logit(user, item, domain)))
        x = {
            "user_id": user,
            "user_group": self.groups["user_group"][user],
            "item_id": item + 1,
            "item_group": self.groups["item_group"][item],
            "seen": self.seen[user],
            "place": self.place[user],
            "domain": domain,
        }
        return x, (self.rng.random(len(p)) < p).astype("float32"), p


def fields() -> list[Field]:
    same = {"dim": 16}
    return [
        Field("user_id", vocabulary_size=USERS, **same),
        Field("user_group", vocabulary_size=GROUPS + 1, **same),
        Field("item_id", vocabulary_size=ITEMS + 1, belong="item", **same),
        Field("item_group", vocabulary_size=GROUPS + 1, belong="item", **same),
        Field("seen", emb="item_id", length=LENGTH, belong="history", **same),
        Field("place", emb="domain", length=LENGTH, belong="history", **same),
        Field("domain", vocabulary_size=len(SHARES), belong="domain", **same),
    ]


def build(name: str) -> keras.Model:
    """Builds a model; where it has sizes or a pooling, those that all have."""
    columns, task = fields(), Task("like")
    if name == BLIND:
        columns = [f for f in columns if f.name not in ("domain", "place")]
        name = AWARE[0]
    family = "multidomain" if name in list_models("multidomain") else "rank"
    factory = getattr(import_module(f"recsys.{family}.{name}"), name)
    known = inspect.signature(factory).parameters
    sizes = {"hidden_units": UNITS, "fcn_units": UNITS, "aux_units": (32, 16)}
    sizes |= {"expert_hidden_units": UNITS}
    given = {key: units for key, units in sizes.items() if key in known}
    if "history_agg" in known:
        given["history_agg"] = "mean_pooling"
    if name == "deepfm":
        given |= {"fm_fields": [f for f in columns if f.belong != "history"]}
    several = {"task_list": [task]} if "task_list" in known else {"task": task}
    return create_model(name, columns, **several, **given)


def by_domain(domain: np.ndarray, y: np.ndarray, score: np.ndarray) -> np.ndarray:
    parts = [domain == p for p in range(len(SHARES))]
    return np.array([auc(y[part], score[part]) for part in parts])


def score(model: keras.Model, x: dict) -> np.ndarray:
    found = model.predict(x, batch_size=8192, verbose=0)
    return (found["like"] if isinstance(found, dict) else found)[:, 0]


def trained(model, train, valid, test, epochs: int) -> tuple[np.ndarray, int]:
    """Trains; returns the test AUC by domain of the best epoch by validation."""
    (x, y, _), (vx, vy, _), (tx, ty, _) = train, valid, test
    best, weights, epoch = 0.0, model.get_weights(), 0
    for i in range(1, epochs + 1):
        model.fit(x, y, batch_size=256, verbose=0)
        found = by_domain(vx["domain"], vy, score(model, vx)).mean()
        if found > best:
            best, weights, epoch = found, model.get_weights(), i
    model.set_weights(weights)
    return by_domain(tx["domain"], ty, score(model, tx)), epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list_models("multidomain"))
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()

    world = World()
    world.histories()
    train = world.rows(TRAIN)
    valid, test = world.rows(VALID, each=True), world.rows(TEST, each=True)
    best = by_domain(test[0]["domain"], test[1], test[2])
    found: dict[str, list[np.ndarray]] = {}
    for name in (BLIND, *AWARE, *args.models):
        for seed in range(args.seeds):
            keras.utils.set_random_seed(seed)
            model = build(name)
            model.compile("adam", "binary_crossentropy")
            values, epoch = trained(model, train, valid, test, args.epochs)
            found.setdefault(name, []).append(values)
            shown = " ".join(f"{value:.4f}" for value in values)
            print(f"{name}, seed {seed}: {shown} ({epoch})", flush=True)

    heads = [f"{share:.0%}" for share in SHARES]
    table = Table("model", *heads, "mean", "smallest over blind", "domains above")
    table.add_row("best possible", *(f"{v:.4f}" for v in best), f"{best.mean():.4f}")
    quantile = student.ppf(0.975, args.seeds - 1) / args.seeds**0.5
    for name, values in sorted(found.items(), key=lambda pair: -np.mean(pair[1])):
        mean, deviation = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
        cells = [f"{m:.4f} ± {d:.4f}" for m, d in zip(mean, deviation, strict=True)]
        over = np.subtract(values, found[BLIND])
        gain, half = over.mean(0), quantile * over.std(0, ddof=1)
        least = f"{gain.min():+.4f} ± {half[gain.argmin()]:.4f}"
        above = f"{(gain > half).sum()} of {len(SHARES)}"
        against = () if name == BLIND else (least, above)
        table.add_row(name, *cells, f"{mean.mean():.4f}", *against)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
