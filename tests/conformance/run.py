"""ONNX's backend tests, through net-import and net-tap: which operations pass, are refused, or are wrong.

    run.py BIN OUT.md [--only OPERATION,…] [--keep FOLDER]

BIN is the folder of the tools. A test's data is its first input of floats; its other inputs become constants of the file. A test whose
first axis is no batch is run again with --unbatched. Tests without floats do not apply. Writes a table, operation by operation. --keep
writes those that pass and are small as FOLDER/conformance.npz, for the library's tests.
"""

import argparse
import collections
import io
import json
import pathlib
import shutil
import subprocess
import tempfile
import warnings
import zipfile

import numpy as np
import onnx
from onnx import numpy_helper

warnings.filterwarnings("ignore")

FLOATS = (np.float16, np.float32, np.float64)

# The most bytes of a test that is kept.
SMALL = 1 << 13


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr.strip()


def model_of(test, inputs, place, names):
    """The test's model, with every input but the data as a constant."""
    model = onnx.ModelProto()
    model.CopyFrom(test)
    for number, (name, array) in enumerate(zip(names, inputs)):
        if number != place:
            model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    weights = {tensor.name for tensor in test.graph.initializer}
    kept = [value for value in model.graph.input if value.name == names[place] or value.name in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def attempt(bin, work, model, data, outputs, tolerance, flags):
    """What came of a test: a word, and why."""
    path, net = work / "m.onnx", work / "net"
    onnx.save(model, path)
    shutil.rmtree(net, ignore_errors=True)
    low, high = float(np.floor(data.min())) - 1, float(np.ceil(data.max())) + 1
    # A power of two: whole numbers stay whole on the way through [0, 1].
    high = low + 2.0 ** np.ceil(np.log2(high - low))
    code, error = run(bin / "net-import", path, "--range", f"{low},{high}", "-o", net, "--force", "--quiet", *flags)
    if code:
        return ("refused" if "error:" in error else "crashed"), error.replace(str(path), "")
    graph = json.loads((net / "net.json").read_text())
    images = (data.astype(np.float64) - low) / (high - low)
    images = images[None] if flags else images
    # Arrays of images have two or four axes.
    if images.ndim == 3:
        images = images[..., None]
    elif images.ndim == 1:
        images = images[:, None]
    elif images.ndim > 4:
        images = images.reshape(*images.shape[:3], -1)
    np.save(work / "x.npy", images.astype(np.float32))
    for value, expected in zip(model.graph.output, outputs):
        node = graph["outputs"].get(value.name)
        if node is None:
            return "wrong", f"no output {value.name}"
        code, error = run(bin / "net-tap", net, work / "x.npy", "--layer", node, "-o", work / "y.npy", "--force", "--quiet")
        if code:
            return "wrong", error
        found, expected = np.load(work / "y.npy").astype(np.float64), np.asarray(expected).astype(np.float64)
        if found.size != expected.size:
            return "wrong", f"shape {found.shape} for {expected.shape}"
        found = found.reshape(expected.shape)
        # What is no number, and what is infinite, must be so in both.
        same = (np.isnan(found) & np.isnan(expected)) | (found == expected)
        difference = np.abs(found - expected)
        # Pixels go through [0, 1], and lose some digits of a wide range.
        near = difference <= max(tolerance, 1e-5 * (high - low)) + 1e-3 * np.abs(expected)
        if not (same | near).all():
            return "wrong", f"largest difference {difference[~same].max():.3g}"
    return "passed", ""


def cases():
    """The tests of single operations, and PyTorch's old ones that lie beside them as files: name, model, inputs, outputs, tolerance."""
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.loader import load_model_tests

    for test in collect_testcases(None):
        # Expansions say the same in other operations.
        if test.model is not None and "_expanded" not in test.name and test.data_sets:
            inputs, outputs = test.data_sets[0]
            yield test.name, test.model, list(inputs), list(outputs), test.atol
    for kind in ("pytorch-converted", "pytorch-operator", "simple"):
        for test in load_model_tests(kind=kind):
            folder = pathlib.Path(test.model_dir)
            model = onnx.load(folder / "model.onnx")
            arrays = [sorted((folder / "test_data_set_0").glob(f"{part}_*.pb")) for part in ("input", "output")]
            try:
                inputs, outputs = [[array_of(path) for path in paths] for paths in arrays]
            except Exception:  # noqa: BLE001
                continue
            yield f"{kind}/{test.name}", model, inputs, outputs, test.atol


def array_of(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", type=lambda words: set(words.split(",")))
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    results, kept = collections.defaultdict(list), []
    with tempfile.TemporaryDirectory() as folder:
        for name, test, inputs, outputs, tolerance in cases():
            operations = [node.op_type for node in test.graph.node]
            operation = next((name for name in operations if name not in ("Constant", "Identity")), (operations + ["none"])[0])
            if arguments.only and operation not in arguments.only:
                continue
            weights = {tensor.name for tensor in test.graph.initializer}
            names = [value.name for value in test.graph.input if value.name not in weights]
            is_array = [isinstance(array, np.ndarray) for array in inputs]
            place = next((n for n, a in enumerate(inputs) if is_array[n] and a.dtype in FLOATS), None)
            fits = place is not None and all(is_array) and len(names) == len(inputs) and 1 <= inputs[place].ndim <= 4
            # Some of the data is what lay in memory: doubles that are no floats.
            if not fits or inputs[place].size == 0 or not np.isfinite(inputs[place].astype(np.float32)).all():
                results[operation].append((name, "other", ""))
                continue
            data = inputs[place]
            try:
                model = model_of(test, inputs, place, names)
                for flags in ([], ["--unbatched"]):
                    word, why = attempt(arguments.bin, pathlib.Path(folder), model, data, outputs, tolerance, flags)
                    if word != "refused":
                        break
            except Exception as error:  # noqa: BLE001
                word, why = "crashed", repr(error)
            results[operation].append((name, word, why))
            if word == "passed" and model.ByteSize() + data.nbytes + sum(np.asarray(o).nbytes for o in outputs) <= SMALL:
                kept.append((name, model, data, outputs, tolerance, bool(flags)))
    write(arguments.out, results)
    if arguments.keep:
        keep(arguments.keep, "conformance", f"ONNX {onnx.__version__}'s backend tests", kept)


def keep(folder, case, source, tests):
    """The tests as one archive: what each is, its model, its data and its outputs as rows of floats. Its bytes are always the same."""
    described = []
    with zipfile.ZipFile(folder / f"{case}.npz", "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name, data):
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr, member.compress_type = 3, 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(member, data)

        def row(array):
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(array).astype(np.float32).reshape(-1))
            return buffer.getvalue()

        for number, (name, model, data, outputs, tolerance, unbatched) in enumerate(tests):
            add(f"{number}.onnx", model.SerializeToString(deterministic=True))
            add(f"{number}.x.npy", row(data))
            for value, output in zip(model.graph.output, outputs):
                add(f"{number}.{len(described)}.npy", row(output))
                described.append({"test": name, "number": number, "array": len(described), "output": value.name,
                                  "unbatched": unbatched, "tolerance": tolerance})
        add("case.json", json.dumps({"source": source, "outputs": described}, indent=0))


def write(out, results):
    total = collections.Counter(word for tests in results.values() for _, word, _ in tests)
    lines = [
        "# ONNX operations",
        "",
        "What `net-import` reads, operation by operation. A refusal names the node, what was expected and what was found; `net-import --report`",
        "lists all of a file. Networks that onnxruntime has quantised (QDQ, QOperator, dynamic) are read as floats, and it is said; so are its own",
        "operations that its quantiser and its optimiser up to the extended level put in: `tests/conformance/quantised.py` holds them to",
        "onnxruntime's results within twice what quantising changes, since it rounds what the images make.",
        "",
        f"ONNX {onnx.__version__}'s backend tests through `net-import` and `net-tap` (`just conformance`): {total['passed']} pass, "
        f"{total['wrong']} are wrong, {total['refused']} are refused with a reason, {total['crashed']} crash. "
        f"{total['other']} do not apply: their data is no array of finite floats with 1 to 4 axes.",
        "",
        "| operation | passed | refused | wrong | do not apply |",
        "|---|---|---|---|---|",
    ]
    for operation in sorted(results):
        count = collections.Counter(word for _, word, _ in results[operation])
        if count["passed"] or count["refused"] or count["wrong"] or count["crashed"]:
            wrong = count["wrong"] + count["crashed"]
            lines.append(f"| {operation} | {count['passed']} | {count['refused']} | {wrong} | {count['other']} |")
    out.write_text("\n".join(lines) + "\n")
    print(dict(total))
    for operation, tests in results.items():
        for name, word, why in tests:
            if word in ("wrong", "crashed"):
                print(word, operation, name, why)


if __name__ == "__main__":
    main()
