"""Descriptions for `index_factory` as users might write them, at random from its grammar, some with a slip."""

import random

SIZES = ["1", "2", "4", "8", "16"]
NORMS = ["none", "float", "qint8", "qint4", "cqint8", "cqint4", "lsq2x4", "rq2x4"]
SCALAR = [
    "8",
    "4",
    "6",
    "fp16",
    "bf16",
    "8_direct",
    "8_direct_signed",
    "0",
    "tqmse1",
    "tqmse2",
    "tqmse3",
    "tqmse4",
    "tqmse8",
    "tq2",
    "tq3",
    "tq4",
    "tq5",
]


class Descriptions:
    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def of(self, *choices: str) -> str:
        return self.pick.choice(choices)

    def maybe(self, text: str, chance: float = 0.5) -> str:
        return text if self.pick.random() < chance else ""

    def size(self) -> str:
        return self.of(*SIZES)

    def transform(self) -> str:
        name = self.of("PCA", "PCAR", "PCAW", "PCAWR", "OPQ", "RR", "ITQ", "Pad", "L2norm", "HR")
        if name in ("L2norm", "HR"):
            return name
        if name == "OPQ":
            return name + self.size() + self.maybe("_" + self.of("4", "8", "16", "32"))
        return name + self.maybe(self.of("4", "8", "16", "32"), 0.8)

    def pq(self) -> str:
        kind = self.pick.random()
        if kind < 0.4:
            return f"PQ{self.size()}{self.maybe('x' + self.of('4', '5', '6', '8', '10', '12'))}{self.maybe('np', 0.3)}"
        if kind < 0.8:
            return f"PQ{self.size()}x4fs{self.maybe('r', 0.3)}{self.maybe('_' + self.of('32', '64', '100', '16'), 0.3)}"
        return f"PQ{self.size()}+{self.size()}"

    def additive(self) -> str:
        m, bits = self.of("1", "2", "3"), self.of("4", "5", "8")
        name = self.of("RQ", "LSQ", "PRQ", "PLSQ")
        sizes = f"{m}x{bits}"
        if name.startswith("P"):
            sizes = f"{self.of('2', '4')}x{sizes}"
        elif name == "RQ":
            sizes += self.maybe(f"_{self.of('1', '2')}x{self.of('4', '6')}", 0.3)
        fast = self.maybe("fs" + self.maybe("r", 0.3) + self.maybe("_" + self.of("32", "64"), 0.3), 0.3)
        return name + sizes + fast + self.maybe("_N" + self.of(*NORMS), 0.5)

    def rabitq(self) -> str:
        fast = self.maybe("fs", 0.5)
        return (
            "RaBitQ"
            + fast
            + self.maybe(self.of("1", "2", "4", "8", "9", "0", "10"))
            + self.maybe("_" + self.of("32", "64"), 0.2)
        )

    def codes(self) -> str:
        """What is stored of a vector, by itself or in lists."""
        return self.pick.choice(
            [
                lambda: "Flat",
                lambda: "SQ" + self.of(*SCALAR),
                self.pq,
                self.additive,
                self.rabitq,
                lambda: "EDEN" + self.maybe(self.of("1", "2", "4", "8", "9")),
                lambda: (
                    "Flat"
                    + self.of("Panorama", "L2Panorama", "IPPanorama")
                    + self.maybe(self.size())
                    + self.maybe("_" + self.of("64", "128"), 0.3)
                ),
            ]
        )()

    def graph(self) -> str:
        name = self.of("HNSW", "NSG")
        storage = self.of(
            "Flat",
            "SQ8",
            "PQ4",
            "PQ4x4",
            "PQ4+8",
            "2",
            "FlatPanorama4",
            "SQfp16",
            "PQ4np",
            "RaBitQ",
            "RaBitQ4",
            "LSH",
            "16",
        )
        return name + self.maybe(self.size(), 0.8) + self.maybe(self.of(",", "_") + storage, 0.6)

    def coarse(self) -> str:
        n = self.of("1", "4", "16", "100", "1k")
        kind = self.pick.random()
        if kind < 0.55:
            return f"IVF{n}"
        if kind < 0.75:
            return f"IVF{n}_{self.of('HNSW', 'NSG')}{self.maybe(self.size())}"
        if kind < 0.9:
            return f"IVF{n}({self.of('Flat', 'IVF4,Flat', 'PQ4x4', 'HNSW8', 'RCQ2x2', 'LSCQ2x2', 'SQ8', 'PCA4,Flat', 'IDMap,Flat')})"
        return f"IMI{self.of('2', '4')}x{self.of('2', '4', '8')}"

    def core(self) -> str:
        kind = self.pick.random()
        if kind < 0.3:
            return self.codes()
        if kind < 0.45:
            return self.graph()
        if kind < 0.85:
            return (
                self.coarse()
                + ","
                + (
                    self.codes()
                    if self.pick.random() < 0.8
                    else self.of("FlatDedup", "ITQ8,SH2", "PCAR4,SH1.5c", "ITQ,SH", "LSH", "RR8,SH2g")
                )
            )
        return self.pick.choice(
            [
                lambda: "LSH" + self.maybe(self.size()) + self.of("", "r", "t", "rt", "tr"),
                lambda: f"ZnLattice{self.of('1', '2', '4')}x{self.of('2', '10')}_{self.of('2', '4')}",
                lambda: self.of("RCQ", "LSCQ") + self.of("1x4", "2x2", "1x2_2x1", "2"),
                lambda: self.of("MinMax", "MinMaxFP16") + "," + self.codes(),
                lambda: f"IMI{self.of('2', '4')}x{self.of('2', '4', '8')}",
                lambda: f"Residual{self.of('4', '16', '2x4', '2x2')},{self.pq()}",
                lambda: f"Residual{self.of('4', '2x4')}_{self.pq()}",
                lambda: "IVFFlat",
                lambda: "Cagra" + self.size(),
            ]
        )()

    def around(self) -> str:
        return self.of(
            "RFlat", "RFlat", f"Refine({self.codes()})", f"Refine({self.core()})", "IDMap", "IDMap2", "RefinePanorama"
        )

    def slip(self, text: str) -> str:
        at = self.pick.randrange(len(text))
        return self.pick.choice(
            [
                lambda: text[:at] + text[at + 1 :],
                lambda: text[:at] + self.of(",", "_", "x", "(", ")", " ", "0", "9", "np", "fs", "r") + text[at:],
                lambda: text + self.of(",", ",Flat", "x", "np", "r", ")", "8"),
                lambda: text[:at],
                lambda: text.lower(),
            ]
        )()

    def description(self) -> str:
        parts = [self.transform() for _ in range(self.pick.choice([0, 0, 0, 1, 1, 2]))]
        if self.pick.random() < 0.1:
            parts.insert(self.pick.randrange(len(parts) + 1), self.of("IDMap", "IDMap2"))
        parts.append(self.core())
        parts += [self.around() for _ in range(self.pick.choice([0, 0, 0, 1, 1, 2]))]
        text = ",".join(parts)
        return self.slip(text) if self.pick.random() < 0.25 else text
