"""Planted data: click logs whose true click probability is known."""

import numpy as np

HISTORY = 10


def click_log(
    num_rows: int, num_users: int = 200, num_items: int = 100, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns a click log in which each row was clicked with a known probability.

    The logit is the sum of three effects of about equal size, which tell models apart:

    - main: an attraction of the item, and a slope in `price`;
    - pairwise: the product of a random +-1 of the user's segment and of the item's
      category, for each pair of them;
    - history: the share of the item's category among the last `HISTORY` events of the
      user with a strictly earlier timestamp, less the share expected by chance.

    Items are drawn by Zipf's law, and some timestamps of a user are equal.

    Args:
        num_rows: Number of rows, in order of time.
        num_users: Number of users, ids `0` and up.
        num_items: Number of items, ids `0` and up, in one of ten categories.
        seed: Seed of all draws.

    Returns:
        Columns of `(num_rows,)`: `user_id`, `segment`, `item_id`, `category`,
        `price`, `timestamp` (seconds), `label` (0 or 1) and the true `logit`.

    Example:
    >>> log = click_log(1000)
    >>> sorted(log)
    ['category', 'item_id', 'label', 'logit', 'price', 'segment', 'timestamp',
    'user_id']
    """
    random = np.random.default_rng(seed)
    num_categories = 10
    category_of = random.integers(num_categories, size=num_items)
    attraction = random.normal(size=num_items)
    affinity = random.choice([-1.0, 1.0], size=(num_categories, num_categories))

    timestamp = np.sort(random.integers(num_rows, size=num_rows))
    user = random.integers(num_users, size=num_rows)
    popularity = 1 / np.arange(1, num_items + 1)
    item = random.choice(num_items, num_rows, p=popularity / popularity.sum())
    category, segment = category_of[item], user % num_categories
    price = random.lognormal(size=num_rows)

    share = _category_share(user, timestamp, category)
    by_chance = np.bincount(category, minlength=num_categories)[category] / num_rows
    logit = (
        attraction[item]
        - 0.5 * (np.log(price))
        + affinity[segment, category]
        + 5.0 * (share - by_chance)
        - 0.5
    )
    label = random.random(num_rows) < 1 / (1 + np.exp(-logit))
    return {
        "user_id": user,
        "segment": segment,
        "item_id": item,
        "category": category,
        "price": price,
        "timestamp": timestamp,
        "label": label.astype("int64"),
        "logit": logit,
    }


def _category_share(
    user: np.ndarray, timestamp: np.ndarray, category: np.ndarray
) -> np.ndarray:
    """Share of each row's category among its user's last strictly earlier events."""
    order = np.lexsort((timestamp, user))
    user, timestamp, category = user[order], timestamp[order], category[order]
    place = np.arange(len(user))
    new = np.ones(len(user), bool)
    new[1:] = (user[1:] != user[:-1]) | (timestamp[1:] != timestamp[:-1])
    first = np.maximum.accumulate(np.where(new, place, 0))  # of this user and time
    same, events = np.zeros(len(user)), np.zeros(len(user))
    for back in range(1, HISTORY + 1):
        earlier = first - back
        theirs = (earlier >= 0) & (user[earlier] == user)
        same += theirs & (category[earlier] == category)
        events += theirs
    share = np.empty(len(user))
    share[order] = same / np.maximum(events, 1)
    return share
