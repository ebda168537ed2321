"""Where `headstart explain` writes what it found of words; imports no torch, as reports are made without it."""

FOLDER, FILE = "explanations", "words.json"
LARGEST_GAP = 0.05  # share of the score that the words may miss; captum's own tutorials accept as much
