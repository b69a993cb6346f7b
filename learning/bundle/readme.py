"""The `README.md` of an exported bundle: what it decides, and how to load it in Java, C++ and Python."""

from schemas.bundle import Feature, PolicyDescription


def bundle_readme(policy: PolicyDescription) -> str:
    """Return the text of `README.md`, GitHub Markdown."""
    rows = [_row(i, feature) for i, feature in enumerate(policy.features)]
    values = {
        "@DECISION@": policy.decision,
        "@ALGORITHM@": policy.algorithm,
        "@ACTION@": policy.action,
        "@CAPACITY@": f"{policy.capacity.limit:,} {policy.capacity.unit}",
        "@WHEN@": _when(policy),
        "@SHAPE@": "[n]" if policy.actions is None else f"[n, {len(policy.actions.lifetimes_s)}]",
        "@TAKEN@": "dropped" if policy.actions is None else "action",
        "@HISTORY@": f"{policy.history_keys:,}",
        "@OBJECTS@": f"{policy.capacity.objects:,.10g}",
        "@ENDPOINTS@": f"{len(policy.endpoints):,}",
        "@TABLE@": "\n".join(rows),
        "@F@": str(len(policy.features)),
    }
    text = _TEMPLATE
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _when(policy: PolicyDescription) -> str:
    """Say when a decision is made, and how."""
    if policy.candidates is not None:
        text = _EVICTION.replace("@CANDIDATES@", str(policy.candidates.use))
        return text + (_LIFETIMES if policy.endpoint_lifetimes else "")
    assert policy.actions is not None
    if policy.decision == "admission":
        return _ADMISSION.replace("@EVICTION@", policy.actions.eviction)
    lives = ", ".join("for ever" if s is None else f"{s:g}" for s in policy.actions.lifetimes_s)
    return _TTL.replace("@EVICTION@", policy.actions.eviction).replace("@LIVES@", lives)


def _row(number: int, feature: Feature) -> str:
    unknown = feature.missing if feature.missing_value is None else f"{feature.missing_value:.9g}"
    cells = (str(number), f"`{_cell(feature.name)}`", feature.unit, _cell(feature.definition), unknown)
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Return `text` on one line, so that it stays in its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


_EVICTION = """\
When a miss does not fit: take the incoming object and @CANDIDATES@ - 1 residents
drawn at random, measure the features of each, score them, drop the one with the highest score (the first of equals)."""

_LIFETIMES = """ What is
fetched is served for as long as `endpoint_lifetimes` of `metadata.json` says for its endpoint; a candidate that has
expired is dropped before any other."""

_ADMISSION = """\
When a miss does not fit: measure the features of what was fetched, score the
two actions, take the one with the higher score (the first of equals). If it is stored, @EVICTION@ makes room."""

_TTL = """\
At each miss: measure the features of what was fetched, score the actions, take
the one with the highest score (the first of equals): its seconds among @LIVES@; 0 = not stored.
@EVICTION@ makes room."""

_TEMPLATE = """\
# A learned cache policy: @DECISION@, @ALGORITHM@

@ACTION@

Trained for a cache of @CAPACITY@. @WHEN@

| file | holds |
|---|---|
| `policy.pt` | TorchScript: raw features float32 [n, @F@] -> scores float32 @SHAPE@, any n |
| `policy.onnx` | the same: input `features`, output `scores` |
| `metadata.json` | features, candidates or actions, capacity, objective, data, evaluation; sha256 of each file |
| `golden.json` | states with the scores and decisions that a right set-up gives (`null` is NaN) |

Features go in raw, in this order; the network transforms and standardises them itself. Time is counted in requests to
this cache. The history of a key is kept while it is among the @HISTORY@ most recently requested ones; one that was
forgotten starts anew. `capacity in objects` is @OBJECTS@.

Each of the @ENDPOINTS@ endpoints that `metadata.json` lists has averages of its own; all others share one more pair.
A feature of a text column is 1 for one `category`, and 0 for every other text, whether training knew it or not.

| column | feature | unit | definition | unknown is |
|---|---|---|---|---|
@TABLE@

Before serving, check the sha256 of the other files against `files` of `metadata.json`, its own `sha256` (of all its
other fields as JSON with sorted keys and without white space), then `inputs` of `golden.json` against `scores`, which
may differ by `tolerance`. `examples/java` of the project that wrote this does all of it, `examples/cpp` the last.

## Java (DJL)

```java
try (Model model = Model.newInstance("policy", Device.cpu(), "PyTorch")) {   // or "OnnxRuntime" and policy.onnx
  model.load(Path.of("."), "policy.pt", null);
  try (Predictor<NDList, NDList> predictor = model.newPredictor(new NoopTranslator());
       NDManager manager = model.getNDManager().newSubManager()) {
    NDArray features = manager.create(rows, new Shape(n, @F@));    // float[] rows, row by row
    float[] scores = predictor.predict(new NDList(features)).singletonOrThrow().toFloatArray();  // @SHAPE@, row by row
  }
}
```

## C++

```cpp
torch::jit::Module policy = torch::jit::load("policy.pt");
torch::InferenceMode guard;
torch::Tensor features = torch::from_blob(rows, {n, @F@}, torch::kFloat32);
torch::Tensor scores = policy.forward({features}).toTensor();
int64_t @TAKEN@ = scores.argmax().item<int64_t>();
```

## Python

```python
import torch

policy = torch.jit.load("policy.pt")
with torch.inference_mode():
    scores = policy(torch.tensor(rows, dtype=torch.float32))  # rows [n, @F@]
@TAKEN@ = int(scores.argmax())
```

Without PyTorch: `onnxruntime.InferenceSession("policy.onnx").run(["scores"], {"features": rows})`.
"""
