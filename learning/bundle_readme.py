"""The `README.md` of an exported bundle: what it decides, and how to load it in Java, C++ and Python."""

from schemas.bundle import PolicyDescription


def bundle_readme(policy: PolicyDescription) -> str:
    """Return the text of `README.md`, GitHub Markdown."""
    rows = [f"| {i} | `{f.name}` | {f.unit} | {f.definition} | {f.missing} |" for i, f in enumerate(policy.features)]
    values = {
        "@DECISION@": policy.decision,
        "@ALGORITHM@": policy.algorithm,
        "@ACTION@": policy.action,
        "@CAPACITY@": f"{policy.capacity.limit:,} {policy.capacity.unit}",
        "@CANDIDATES@": str(policy.candidates.use),
        "@HISTORY@": f"{policy.history_keys:,}",
        "@OBJECTS@": f"{policy.capacity.objects:,.10g}",
        "@TABLE@": "\n".join(rows),
        "@F@": str(len(policy.features)),
    }
    text = _TEMPLATE
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


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
