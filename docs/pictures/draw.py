"""Draws the pictures of how-it-works.md: `python docs/pictures/draw.py`. A test holds the files and this script together."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
INK, GREY, BLUE, LIGHT, WARM = "#1f2933", "#c5ccd3", "#2f6fb5", "#dce9f6", "#d9822b"
DEFINITIONS = f"""<defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="#fbe9d3"/><line x1="0" y1="0" x2="0" y2="6" stroke="{WARM}" stroke-width="2"/></pattern>
<marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">
<path d="M0,0 L6,3 L0,6 z" fill="{INK}"/></marker>
</defs>"""
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


def main() -> None:
    """Write all pictures."""
    for name, text in pictures().items():
        (HERE / name).write_text(text, encoding="utf-8")


def pictures() -> dict[str, str]:
    """File name -> SVG."""
    return {"phases.svg": phases(), "replay.svg": replay(), "keys.svg": keys()}


def phases() -> str:
    """Stages by phases of gradual unfreezing: what trains, what is read from the store, what never runs again."""
    names = ("phase head", "phase layer4", "phase layer3")
    first = (5, 4, 3)  # the lowest stage that trains
    parts = [label(20, 24, "Gradual unfreezing of a ResNet: who trains, who is replayed", weight="bold")]
    for row, stage in enumerate(reversed(STAGES)):
        parts.append(label(110, 62 + 34 * row, stage, anchor="end"))
        at = len(STAGES) - 1 - row
        for column, lowest in enumerate(first):
            style = "trains" if at >= lowest else "boundary" if at == lowest - 1 else "rests"
            parts.append(cell(124 + 176 * column, 42 + 34 * row, style))
    parts += [label(208 + 176 * at, 264, name, anchor="middle") for at, name in enumerate(names)]
    for at, (style, words) in enumerate(
        (("trains", "trains"), ("boundary", "value read from the store"), ("rests", "does not run"))
    ):
        parts.append(cell(124 + 176 * at, 284, style, width=22, height=16))
        parts.append(label(152 + 176 * at, 297, words, size=12))
    parts.append(
        label(
            20,
            330,
            "One pass before the first phase stores the values after layer4, layer3 and layer2, each stage running once.",
            size=12,
        )
    )
    return svg(680, 346, parts)


def replay() -> str:
    """A step of training above a boundary."""
    parts = [label(20, 24, "One step of training while layer4 and the head train", weight="bold")]
    for at, stage in enumerate(STAGES):
        left = 24 + 108 * at
        style = "trains" if at >= 4 else "boundary" if at == 3 else "rests"
        parts.append(cell(left, 84, style, width=92, height=44))
        parts.append(label(left + 46, 111, stage, anchor="middle", fill="#ffffff" if style == "trains" else INK))
        if at < len(STAGES) - 1:
            parts.append(arrow(left + 92, 106, left + 108, 106, INK if at >= 3 else GREY))
    parts += [
        f'<rect x="320" y="186" width="148" height="40" rx="4" fill="#ffffff" stroke="{WARM}" stroke-width="2"/>',
        label(394, 211, "store: one row per example", anchor="middle", size=11),
        arrow(394, 186, 394, 132, WARM),
        label(172, 150, "give stand-ins without storage:", anchor="middle", size=12),
        label(172, 166, "code between modules still runs", anchor="middle", size=12),
        arrow(640, 70, 462, 70, BLUE),
        label(551, 60, "backward stops at the boundary", anchor="middle", size=12),
        label(24, 256, "Before a boundary is used, features replayed there must equal live ones to the bit.", size=12),
    ]
    return svg(680, 272, parts)


def keys() -> str:
    """What a stored row depends on, and the order of examples."""
    left = (
        "weights up to the boundary",
        "preparing (size, means, tokenizer)",
        "the example's content",
        "view of augmentation, number type",
    )
    parts = [label(20, 24, "A stored value is used only where everything that it came from is the same", weight="bold")]
    for at, words in enumerate(left):
        parts.append(f'<rect x="20" y="{44 + 38 * at}" width="230" height="28" rx="4" fill="{LIGHT}" stroke="{BLUE}"/>')
        parts.append(label(135, 63 + 38 * at, words, anchor="middle", size=12))
        parts.append(arrow(250, 58 + 38 * at, 306, 116, INK))
    parts += [
        f'<rect x="308" y="96" width="104" height="40" rx="4" fill="{INK}"/>',
        label(360, 121, "sha256 key", anchor="middle", fill="#ffffff"),
        arrow(412, 116, 458, 116, INK),
        f'<rect x="460" y="44" width="200" height="144" rx="4" fill="#ffffff" stroke="{WARM}" stroke-width="2"/>',
        label(560, 70, "store", anchor="middle", weight="bold"),
        label(560, 96, "shards of safetensors", anchor="middle", size=12),
        label(560, 116, "index with the hash of each", anchor="middle", size=12),
        label(560, 136, "built once, under a lock,", anchor="middle", size=12),
        label(560, 156, "published by a rename", anchor="middle", size=12),
        label(
            20,
            224,
            "Another key is a miss and is computed; a row that is torn, cut or changed is found by its hash and made again.",
            size=12,
        ),
        label(
            20,
            246,
            "Order of examples = f(seed, epoch). Augmentation of one = f(seed, view or epoch, its id). Nothing else counts.",
            size=12,
        ),
    ]
    return svg(680, 262, parts)


def cell(left: int, top: int, style: str, *, width: int = 168, height: int = 28) -> str:
    """A box: trains, read at the boundary, or at rest."""
    fill = {"trains": BLUE, "boundary": "url(#hatch)", "rests": GREY}[style]
    edge = WARM if style == "boundary" else "none"
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="{fill}" stroke="{edge}"/>'


def label(
    left: int, base: int, words: str, *, anchor: str = "start", size: int = 13, weight: str = "normal", fill: str = INK
) -> str:
    """Words at a place."""
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{left}" y="{base}" {style}>{words}</text>'


def arrow(x1: int, y1: int, x2: int, y2: int, colour: str) -> str:
    """A line with a head at its end."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.5" marker-end="url(#head)"/>'


def svg(width: int, height: int, parts: list[str]) -> str:
    """The whole file, on white so that it can be read on a dark page."""
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    white = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([f'{opening} font-family="sans-serif">', DEFINITIONS, white, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
