"""What the name of a column says of it, in the words that data sets use."""

import re
from collections.abc import Collection, Iterable, Sequence

IDS = {"uid", "iid", "pid", "gid", "mid", "sku", "asin", "isbn"}
ID = {"id", "ids", "idx", "key", "hash", "uuid", "guid"}
FLAG = {"is", "has", "did", "was"}
RATING = {"rating", "rate", "stars", "star", "score", "grade", "overall"}

# The most telling first.
USER = tuple(
    """
    user uid customer member visitor account reviewer viewer reader listener player
    buyer client person subscriber student profile device cookie session
    """.split()
)
ITEM = tuple(
    """
    item iid product sku asin goods article movie film video song track music book isbn
    news ad adgroup creative campaign app post note photo content doc document recipe
    game anime course job listing offer hotel restaurant poi venue business shop artist
    pid gid mid
    """.split()
)
TIME = set("time timestamp ts date datetime dt unixtime epoch created at day".split())
CATEGORY = set(
    """
    category cat cate class type kind genre tag brand color colour language lang country
    city region state province zip zipcode postcode location gender sex occupation job
    education os browser platform device model network hour hourmin weekday dayofweek
    daytime month season weather holiday weekend tab channel source scene slot position
    page code group segment cluster author artist seller shop publisher domain
    """.split()
)

# Of 0 and 1: what a user did, and what was so before.
ANSWER = set(
    """
    label target answer response y clk ctr cvr positive click like dislike love hate
    favor favorite favourite follow comment forward share view watch play finish
    complete read enter buy bought purchase order pay convert conversion cart collect
    save download install subscribe register booked interested skip accept chosen
    engaged reply retweet upvote vote
    """.split()
)
NO_ANSWER = set(
    """
    weekend holiday weekday new male female member premium vip mobile active adult free
    promoted sponsored ad original live streamer author lowactive home night peak logged
    login verified available exclusive
    """.split()
)
MAIN = ("click", "clk", "label", "target", "like", "view", "watch", "buy", "purchase")


def tokens(name: str) -> list[str]:
    """Returns the words of a name, small; `is` and `id` that stick to one are cut off.

    Example:
    >>> tokens("userId"), tokens("is_click"), tokens("itemid"), tokens("time_ms")
    (['user', 'id'], ['is', 'click'], ['item', 'id'], ['time', 'ms'])
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+", name)
    found: list[str] = []
    for part in map(str.lower, parts):
        if part.endswith("id") and part[:-2] in {*USER, *ITEM}:
            found += [part[:-2], "id"]
        elif part.startswith("is") and _is_one(part[2:], ANSWER | NO_ANSWER):
            found += ["is", part[2:]]
        else:
            found.append(part)
    return found


def id_score(name: str, words: Sequence[str]) -> float:
    """Returns how much a name is that of the ids of what words mean; 0 is not at all.

    Example:
    >>> [id_score(name, USER) for name in ("user_id", "user", "my_user_id", "user_age")]
    [3.0, 2.0, 1.0, 0]
    """
    found = tokens(name)
    core = [word for word in found if word not in ID]
    place = next((1 - i / len(words) for i, w in enumerate(words) if w in core), 0)
    has_id = len(core) < len(found)
    if len(core) == 1 and place:
        return place + (2 if has_id else 1)
    return place if has_id else 0


def is_id(name: str) -> bool:
    """Whether a name says that there are ids, of whatever."""
    return bool((ID | IDS) & {*tokens(name)})


def has(name: str, words: Collection[str]) -> bool:
    """Whether one of some words is in a name, or what is made of it (`clicked`)."""
    return any(_is_one(token, words) for token in tokens(name))


def ends_with(name: str, words: Collection[str]) -> bool:
    """Whether a name ends in one of some words, numbers behind it aside (`cat_1`)."""
    last = [token for token in tokens(name) if not token.isdigit()][-1:]
    return bool(last) and _is_one(last[0], words)


def plain_name(name: str) -> str:
    """Returns a name without what names of the schema must not have.

    Example:
    >>> plain_name("user.id")
    'user_id'
    """
    return "".join("_" if each in "/.\0" else each for each in name)


def free(name: str, taken: Iterable[str], ending: str) -> str:
    """Returns a name that no other has, capitals aside, by adding an ending."""
    folded = {each.lower() for each in taken}
    while name.lower() in folded:
        name += ending
    return name


def _is_one(token: str, words: Collection[str]) -> bool:
    stems = {token, *(token[: -len(e)] for e in ("s", "d", "ed") if token.endswith(e))}
    return bool(stems & {*words})
