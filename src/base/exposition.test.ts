import { describe, expect, it } from "vitest";
import { readExposition } from "../../test/helpers/exposition.ts";
import { encodeExposition, type Family } from "./exposition.ts";
import { Histogram } from "./histogram.ts";

const gauge = (name: string, ...values: number[]): Family => ({
  kind: "gauge",
  name,
  help: "h",
  samples: values.map((value, at) => ({ labels: { at: String(at) }, value })),
});

describe("the text that Prometheus reads", () => {
  it("has a help and a type before the samples of each metric", () => {
    const text = encodeExposition([
      { kind: "counter", name: "a_total", help: "Of a.", samples: [{ value: 3 }] },
      {
        kind: "gauge",
        name: "b",
        help: "Of b.",
        samples: [{ labels: { x: "1", y: "z" }, value: 0.5 }],
      },
    ]);
    expect(text).toBe(
      '# HELP a_total Of a.\n# TYPE a_total counter\na_total 3\n# HELP b Of b.\n# TYPE b gauge\nb{x="1",y="z"} 0.5\n',
    );
  });

  it("is empty where nobody has said anything", () => {
    expect(encodeExposition([])).toBe("");
    expect(encodeExposition([gauge("none")])).toBe("");
  });

  it("has durations in seconds, summed up bound by bound", () => {
    const histogram = new Histogram();
    for (const ms of [0.05, 30, 40, 1e6]) histogram.observe(ms);
    const labels = { node: "az1-full" };
    const text = encodeExposition([
      {
        kind: "histogram",
        name: "t_seconds",
        help: "t",
        series: [{ labels, durations: histogram.figures }],
      },
    ]);
    const { samples = [] } = readExposition(text).get("t_seconds") ?? {};
    const told = samples.map(({ name, labels: { le }, value }) => [name.slice(10), le, value]);
    expect(told).toContainEqual(["bucket", "0.0001", 1]);
    expect(told).toContainEqual(["bucket", "0.025", 1]);
    expect(told).toContainEqual(["bucket", "0.05", 3]);
    expect(told).toContainEqual(["bucket", "120", 3]);
    expect(told).toContainEqual(["bucket", "+Inf", 4]);
    expect(told).toContainEqual(["count", undefined, 4]);
    expect(told.find(([name]) => name === "sum")?.[2]).toBeCloseTo(1000.07005);
    expect(samples.every((one) => one.labels["node"] === "az1-full")).toBe(true);
  });

  it("keeps whatever a label or a help says apart from the format", () => {
    const odd = 'a"b\\c\nd{e="f"} 7';
    const text = encodeExposition([
      { kind: "gauge", name: "g", help: odd, samples: [{ labels: { x: odd, y: "" }, value: 1 }] },
    ]);
    expect(readExposition(text).get("g")).toEqual({
      kind: "gauge",
      help: odd,
      samples: [{ name: "g", labels: { x: odd, y: "" }, value: 1 }],
    });
  });

  it("writes every number as it is", () => {
    const values = [
      0,
      -1.5,
      1e21,
      1e-9,
      2 ** 53,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ];
    const { samples = [] } =
      readExposition(encodeExposition([gauge("g", ...values)])).get("g") ?? {};
    expect(samples.map(({ value }) => value)).toEqual(values);
    expect(encodeExposition([gauge("g", Number.NaN)])).toContain("} NaN\n");
  });

  const broken: [string, Family[]][] = [
    ["a name that is none", [gauge("a-b", 1)]],
    ["a metric twice", [gauge("g", 1), gauge("g", 2)]],
    ["a counter that is not called one", [{ kind: "counter", name: "c", help: "h", samples: [] }]],
    ["durations without a unit", [{ kind: "histogram", name: "t", help: "h", series: [] }]],
    [
      "a label that is none",
      [{ kind: "gauge", name: "g", help: "h", samples: [{ labels: { "a b": "c" }, value: 1 }] }],
    ],
    [
      "a label set twice",
      [{ kind: "gauge", name: "g", help: "h", samples: [{ value: 1 }, { value: 2 }] }],
    ],
  ];
  it.each(broken)("is not written with %s", (_, families) => {
    expect(() => encodeExposition(families)).toThrow();
  });
});

describe("the reader of the tests", () => {
  const head = "# HELP g h\n# TYPE g gauge\n";
  it.each([
    ["a sample without its type", "g 1\n"],
    ["a missing line feed", `${head}g 1`],
    ["no number", `${head}g one\n`],
    ["a label that is not closed", `${head}g{a="b} 1\n`],
    ["a raw quote", `${head}g{a="b"c"} 1\n`],
    ["the same twice", `${head}g{a="b"} 1\ng{a="b"} 2\n`],
    ["another metric's sample", `${head}f 1\n`],
    ["a family twice", `${head}g 1\n${head}g{a="b"} 1\n`],
    [
      "buckets that fall",
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    ],
    ["no last bucket", '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_sum 1\nh_count 2\n'],
  ])("refuses %s", (_, text) => {
    expect(() => readExposition(text)).toThrow();
  });
});
