"""COMET or CometKiwi as a program for the reward `process`.

A model that takes references (wmt22-comet-da) needs `references: true` in the reward's options; a quality estimation
model (wmt22-cometkiwi-da) does without.
"""

from __future__ import annotations

import argparse

from comet import download_model, load_from_checkpoint
from protocol import Request, serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name on the model hub, or path of a checkpoint (.ckpt)")
    parser.add_argument("--batch", type=int, default=16, help="segments in one pass")
    parser.add_argument("--gpus", type=int, default=0, choices=(0, 1))
    arguments = parser.parse_args()
    path = arguments.model if arguments.model.endswith(".ckpt") else download_model(arguments.model)
    model = load_from_checkpoint(path)

    def judge(requests: list[Request]) -> list[float | None]:
        samples = []
        for request in requests:
            sample = {"src": request["source"], "mt": request["hypothesis"]}
            if "reference" in request:
                sample["ref"] = request["reference"]
            samples.append(sample)
        result = model.predict(
            samples, batch_size=arguments.batch, gpus=arguments.gpus, num_workers=0, progress_bar=False
        )
        return [float(score) for score in result["scores"]]

    serve(judge)


if __name__ == "__main__":
    main()
