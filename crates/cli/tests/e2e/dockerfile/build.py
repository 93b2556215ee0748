"""Makes words.json of words.txt; what was made once comes from the cache."""

import json
import pathlib

CACHE = pathlib.Path("/var/cache/words/made")
words = pathlib.Path("words.txt").read_text(encoding="utf-8").splitlines()
print("made before:", CACHE.read_text(encoding="utf-8") if CACHE.exists() else "nothing")
CACHE.write_text(",".join(words), encoding="utf-8")
pathlib.Path("words.json").write_text(json.dumps(words), encoding="utf-8")
