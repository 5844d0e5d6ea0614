"""Invented names: leagues, teams, handles that look like gamer tags, and a pool of champions per role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

ROLES: Final = ("top", "jng", "mid", "bot", "sup")

# 24 a role; a champion is played in one role only, so two roles of a game can never pick the same one
CHAMPIONS: Final = {
    "top": (
        "Agamedes Atlas Bellerophon Brontes Cadmus Enkidu Fafnir Gaheris Gilgamesh Goliath Grendel Hrungnir Humbaba "
        "Kumbhakarna Meleager Orgoth Polyphemus Rostam Steropes Surtr Tarkus Telamon Thrym Ymir"
    ),
    "jng": (
        "Actaeon Anansi Argus Cernunnos Chiron Coyotl Fenrir Garmr Herne Huehue Karkinos Kitsura Lycaon Minoa Nemea "
        "Nimrod Orthrus Pan Ravenna Sciron Sekhet Tezcat Wendaya Xolotl"
    ),
    "mid": (
        "Abaris Asteria Calypso Circe Empusa Endora Hecate Hypatia Ianthe Iris Kalypta Lachesis Medea Mnemo Morgause "
        "Nyx Oberon Phaedra Prospero Selkie Sibyl Thoth Vivienne Zal"
    ),
    "bot": (
        "Apollyon Arash Artemisia Atalanta Camilla Chionne Eurytos Hou-Yi Ilmara Ishtar Kama Oenone Orion Pandarus "
        "Paris Philoct Robin Sagitta Skadi Tell Teucer Ullr Vayu Zephyra"
    ),
    "sup": (
        "Aegle Aglaia Baucis Brigid Demeter Dryas Eir Epona Euphrosyne Galatea Hestia Hygieia Idunn Iaso Kore Leto "
        "Maia Nanna Panacea Philemon Psyche Rhea Themis Tyche"
    ),
}
CHAMPIONS_PER_ROLE: Final = 24

TEAM_FIRST: Final = (
    "Amber Ashen Brass Cobalt Copper Coral Crimson Distant Drifting Ember Fabled Flint Frosted Gilded Glass Granite "
    "Hollow Indigo Ivory Jade Lantern Lucid Marble Midnight Obsidian Opal Paper Quartz Quiet Rapid Roaming Rustic "
    "Saffron Salt Sapphire Scarlet Silent Slate Solar Spiral Stormy Tidal Umber Velvet Violet Wandering Winter Zinc"
)
TEAM_SECOND: Final = (
    "Albatross Antlers Badgers Bison Buzzards Comets Corsairs Cranes Crickets Dervishes Egrets Falconers Ferrymen "
    "Foxgloves Geckos Harriers Herons Hounds Ibexes Jackdaws Kestrels Kites Lanterns Larks Lynxes Magpies Mantas "
    "Marlins Martens Moths Narwhals Newts Ocelots Orcas Otters Owls Pangolins Petrels Pikes Quokkas Rooks Stoats "
    "Swifts Tapirs Terns Vipers Wardens Wombats"
)

# what a careless reader takes for a missing value, a number or a truth value
_NOT_A_HANDLE: Final = frozenset({"nan", "none", "null", "inf", "true", "false", "unknown", "tbd"})
_ONSETS: Final = "b br d dr f g gl h j k kh kr l m n ny p qu r s sh sk t th tr v vy x y z zh"
_VOWELS: Final = "a e i o u ae ei ia o u y a e i"
_CODAS: Final = "l n r s x th nd rk sk m z k t"
_SYLLABLES: Final = (1, 1, 2, 2, 2, 2, 2, 3)
_WORDS: Final = (
    "ash bolt byte cinder clover cobra crow dusk echo fable fang flick fox frost ghost glint grim haze hex ivy jolt "
    "karma knack lotus lunar mango mist moth nova oath onyx pixel plum pulse quill rift rune sable shade sly snow "
    "spark tempo thorn toast umbra vex void wisp wren yeti zeal zen"
)


def champion_names() -> tuple[str, ...]:
    """All champions, role by role; champion `i` belongs to role `i // CHAMPIONS_PER_ROLE`."""
    return tuple(name for role in ROLES for name in CHAMPIONS[role].split())


def draw_handles(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """`count` handles, no two alike when case is ignored."""
    handles: dict[str, str] = {}
    while len(handles) < count:
        handle = _draw_handle(rng)
        if 3 <= len(handle) <= 11 and handle.casefold() not in _NOT_A_HANDLE:
            handles.setdefault(handle.casefold(), handle)
    return tuple(handles.values())


def draw_team_names(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """`count` team names; both halves are used once, so a fuzzy match has a clear winner."""
    first = rng.permutation(TEAM_FIRST.split())[:count]
    second = rng.permutation(TEAM_SECOND.split())[:count]
    return tuple(f"{a} {b}" for a, b in zip(first, second, strict=True))


def _draw_handle(rng: np.random.Generator) -> str:
    style = rng.random()
    if style < 0.22:
        one, two = rng.choice(_WORDS.split(), 2, replace=False)
        return f"{one.capitalize()}{two}" if style < 0.11 else f"{one.capitalize()}{two.capitalize()}"
    syllables = _SYLLABLES[int(rng.integers(len(_SYLLABLES)))]
    stem = "".join(_draw_word(rng, _ONSETS) + _draw_word(rng, _VOWELS) for _ in range(syllables))
    if rng.random() < 0.55:
        stem += _draw_word(rng, _CODAS)
    if style < 0.30 and len(stem) <= 5:
        return stem.upper()
    if style < 0.40:
        return stem
    if style < 0.46:
        return f"{stem.capitalize()}{int(rng.integers(0, 100))}"
    return stem.capitalize()


def _draw_word(rng: np.random.Generator, words: str) -> str:
    options = words.split()
    return options[int(rng.integers(len(options)))]
