"""MetricX-24 as a program for the reward `process`. Scores are errors: 0 is best, 25 worst.

With `references: true` in the reward's options references are used, without they are not; the hybrid models do both.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import transformers
from protocol import Request, serve

sys.path.insert(0, str(Path(__file__).resolve().parent / "metricx"))  # the clone of its repository
from metricx24.models import MT5ForRegression


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name on the model hub, or folder")
    parser.add_argument("--tokenizer", required=True, help="the same for the mT5 tokenizer of the model's size")
    parser.add_argument("--batch", type=int, default=8, help="segments in one pass")
    parser.add_argument("--length", type=int, default=1536, help="tokens read of source, hypothesis and reference")
    arguments = parser.parse_args()
    # The model places part of its input on the GPU by itself wherever there is one.
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.tokenizer)
    model = MT5ForRegression.from_pretrained(arguments.model).to(device).eval()

    def judge(requests: list[Request]) -> list[float | None]:
        scores: list[float | None] = []
        for start in range(0, len(requests), arguments.batch):
            texts = [_input(request) for request in requests[start : start + arguments.batch]]
            rows = tokenizer(texts, max_length=arguments.length, truncation=True)["input_ids"]
            # It was trained without the end-of-sequence token.
            inputs = tokenizer.pad({"input_ids": [row[:-1] for row in rows]}, return_tensors="pt").to(device)
            with torch.no_grad():
                output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            scores += output.predictions.float().tolist()
        return scores

    serve(judge)


def _input(request: Request) -> str:
    text = f"source: {request['source']} candidate: {request['hypothesis']}"
    return f"{text} reference: {request['reference']}" if "reference" in request else text


if __name__ == "__main__":
    main()
