/** Reads Prometheus' text format 0.0.4 as its documentation has it, and raises at whatever is not of it. */
export interface ReadFamily {
  readonly kind: string;
  readonly help: string;
  readonly samples: {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly value: number;
  }[];
}

const header = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/;
const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/y;
const number = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN)$/;
const kinds = new Set(["counter", "gauge", "histogram"]);

export function readExposition(text: string): Map<string, ReadFamily> {
  const families = new Map<string, ReadFamily>();
  if (text !== "" && !text.endsWith("\n")) throw new Error("it does not end in a line feed");
  let help: { name: string; text: string } | undefined;
  let current: { name: string; family: ReadFamily } | undefined;
  const seen = new Set<string>();
  for (const line of text.split("\n").slice(0, -1)) {
    const head = header.exec(line);
    if (head?.[1] === "HELP") help = { name: head[2] ?? "", text: unescape(head[3] ?? "") };
    else if (head?.[1] === "TYPE") {
      const [, , name = "", kind = ""] = head;
      if (help?.name !== name) throw new Error(`${name} has no HELP before its TYPE`);
      if (!kinds.has(kind)) throw new Error(`${name} is a ${kind}`);
      if (families.has(name)) throw new Error(`${name} comes twice`);
      current = { name, family: { kind, help: help.text, samples: [] } };
      families.set(name, current.family);
    } else {
      const read = readSample(line);
      if (!current || !isOf(current, read.name)) throw new Error(`out of place: ${line}`);
      const names = Object.keys(read.labels).toSorted((a, b) => (a < b ? -1 : 1));
      const key = JSON.stringify([read.name, ...names.map((one) => [one, read.labels[one]])]);
      if (seen.has(key)) throw new Error(`twice: ${line}`);
      seen.add(key);
      current.family.samples.push(read);
    }
  }
  for (const [name, family] of families) check(name, family);
  return families;
}

/** The value of the one sample with these labels, and perhaps others; undefined: there is none. */
export function valueOf(
  families: ReadonlyMap<string, ReadFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ""));
  const found = (family?.samples ?? []).filter(
    (one) =>
      one.name === name &&
      Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  );
  if (found.length > 1) throw new Error(`${name} ${JSON.stringify(labels)} is not one sample`);
  return found[0]?.value;
}

/** Samples of counters and histograms that are smaller than they were. */
export function fallen(
  before: ReadonlyMap<string, ReadFamily>,
  now: ReadonlyMap<string, ReadFamily>,
): ReadFamily["samples"] {
  const keyOf = ({ name, labels }: ReadFamily["samples"][number]): string =>
    JSON.stringify([name, Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  return [...now].flatMap(([family, { kind, samples }]) => {
    if (kind === "gauge") return [];
    const old = new Map(before.get(family)?.samples.map((one) => [keyOf(one), one.value]));
    return samples.filter((one) => one.value < (old.get(keyOf(one)) ?? 0));
  });
}

function readSample(line: string): ReadFamily["samples"][number] {
  const [, name, labelText = "", value = ""] = sample.exec(line) ?? [];
  if (name === undefined || !number.test(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  while (label.lastIndex < labelText.length) {
    const found = label.exec(labelText);
    if (!found?.[1]) throw new Error(`no labels: ${line}`);
    if (found[1] in labels) throw new Error(`a label twice: ${line}`);
    labels[found[1]] = unescape(found[2] ?? "");
  }
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}

function isOf({ name, family }: { name: string; family: ReadFamily }, sampleName: string): boolean {
  if (family.kind !== "histogram") return sampleName === name;
  return ["_bucket", "_sum", "_count"].some((end) => sampleName === `${name}${end}`);
}

function check(name: string, { kind, samples }: ReadFamily): void {
  if (samples.length === 0) throw new Error(`${name} has no samples`);
  const others = samples.map((one) => Object.keys(one.labels).filter((key) => key !== "le"));
  if (new Set(others.map((keys) => keys.toSorted().join())).size !== 1)
    throw new Error(`${name}: samples have different labels`);
  if (kind === "counter") {
    if (!name.endsWith("_total")) throw new Error(`the counter ${name} does not end in _total`);
    if (samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below nothing`);
  }
  if (kind !== "histogram") return;
  const series = new Map<string, ReadFamily["samples"]>();
  for (const one of samples) {
    const { le: _, ...labels } = one.labels;
    const key = JSON.stringify(labels);
    series.set(key, [...(series.get(key) ?? []), one]);
  }
  for (const [labels, all] of series) checkSeries(`${name} ${labels}`, all);
  const bounds = [...series.values()].map((all) => all.map(({ labels }) => labels["le"]).join());
  if (new Set(bounds).size !== 1) throw new Error(`${name}: series have other bounds`);
}

function checkSeries(what: string, all: ReadFamily["samples"]): void {
  const buckets = all.filter(({ name }) => name.endsWith("_bucket"));
  const count = all.find(({ name }) => name.endsWith("_count"));
  const sum = all.find(({ name }) => name.endsWith("_sum"));
  if (!count || !sum || all.length !== buckets.length + 2) throw new Error(`${what} is not whole`);
  let le = Number.NEGATIVE_INFINITY;
  let below = 0;
  for (const { labels, value } of buckets) {
    const next = Number((labels["le"] ?? "").replace("Inf", "Infinity"));
    if (!(next > le)) throw new Error(`${what}: bounds do not rise`);
    if (value < below) throw new Error(`${what}: it is not cumulative`);
    le = next;
    below = value;
  }
  if (le !== Number.POSITIVE_INFINITY) throw new Error(`${what} has no last bound`);
  if (below !== count.value) throw new Error(`${what}: count and last bucket differ`);
  if (!(sum.value >= 0)) throw new Error(`${what}: a negative sum`);
}
