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
        "@CANDIDATES@": str(policy.candidates.use),
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


def _row(number: int, feature: Feature) -> str:
    unknown = feature.missing if feature.missing_value is None else f"{feature.missing_value:.9g}"
    cells = (str(number), f"`{_cell(feature.name)}`", feature.unit, _cell(feature.definition), unknown)
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Return `text` on one line, so that it stays in its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


_TEMPLATE = """\
# A learned cache policy: @DECISION@, @ALGORITHM@

@ACTION@

Trained for a cache of @CAPACITY@. When a miss does not fit: take the incoming object and @CANDIDATES@ - 1 residents
drawn at random, measure the features of each, score them, drop the one with the highest score (the first of equals).

| file | holds |
|---|---|
| `policy.pt` | TorchScript: raw features float32 [n, @F@] -> scores float32 [n], any n |
| `policy.onnx` | the same: input `features`, output `scores` |
| `metadata.json` | features, candidates, capacity, objective, data, evaluation; the sha256 of the other files |
| `golden.json` | states with the scores and decisions that a right set-up gives (`null` is NaN) |

Features go in raw, in this order; the network transforms and standardises them itself. Time is counted in requests to
this cache. The history of a key is kept while it is among the @HISTORY@ most recently requested ones; one that was
forgotten starts anew. `capacity in objects` is @OBJECTS@.

Each of the @ENDPOINTS@ endpoints that `metadata.json` lists has averages of its own; all others share one more pair.
A feature of a text column is 1 for one `category`, and 0 for every other text, whether training knew it or not.

| column | feature | unit | definition | unknown is |
|---|---|---|---|---|
@TABLE@

Before serving, check the sha256 of each file against `metadata.json`, then `inputs` of `golden.json` against `scores`.

## Java (DJL)

```java
Criteria<NDList, NDList> criteria = Criteria.builder()
    .setTypes(NDList.class, NDList.class)
    .optModelPath(Paths.get("policy.pt")).optEngine("PyTorch")   // or policy.onnx and "OnnxRuntime"
    .build();
try (ZooModel<NDList, NDList> model = criteria.loadModel();
     Predictor<NDList, NDList> predictor = model.newPredictor(new NoopTranslator());
     NDManager manager = NDManager.newBaseManager()) {
  NDArray features = manager.create(rows, new Shape(n, @F@));    // float[] rows, row by row
  float[] scores = predictor.predict(new NDList(features)).singletonOrThrow().toFloatArray();
}
```

## C++

```cpp
torch::jit::Module policy = torch::jit::load("policy.pt");
torch::InferenceMode guard;
torch::Tensor features = torch::from_blob(rows, {n, @F@}, torch::kFloat32);
torch::Tensor scores = policy.forward({features}).toTensor();
int64_t dropped = scores.argmax().item<int64_t>();
```

## Python

```python
import torch

policy = torch.jit.load("policy.pt")
with torch.inference_mode():
    scores = policy(torch.tensor(rows, dtype=torch.float32))  # rows [n, @F@]
dropped = int(scores.argmax())
```

Without PyTorch: `onnxruntime.InferenceSession("policy.onnx").run(["scores"], {"features": rows})`.
"""
