import { assert } from "./assert.ts";
import { durationBoundsMs, type HistogramFigures } from "./histogram.ts";

/** Prometheus' text format, version 0.0.4: what it is served as. */
export const expositionType = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

/** One metric with all its label sets. `help`: one line, for people. */
export type Family =
  | {
      readonly kind: "counter" | "gauge";
      readonly name: string;
      readonly help: string;
      readonly samples: readonly Sample[];
    }
  /** Of durations: its name ends in _seconds. */
  | {
      readonly kind: "histogram";
      readonly name: string;
      readonly help: string;
      readonly series: readonly {
        readonly labels?: Labels;
        readonly durations: HistogramFigures;
      }[];
    };

const metricName = /^[a-z][a-z0-9_]*$/;
const labelName = /^[a-z][a-z0-9_]*$/;

/** Families without a sample are left out: nobody has said anything of them. */
export function encodeExposition(families: readonly Family[]): string {
  const lines: string[] = [];
  const names = new Set<string>();
  for (const family of families) {
    const { name, kind, help } = family;
    assert(metricName.test(name), "a metric has a plain name");
    assert(!names.has(name), "a metric comes once");
    assert(kind !== "counter" || name.endsWith("_total"), "a counter's name ends in _total");
    assert(kind !== "histogram" || name.endsWith("_seconds"), "durations are told in seconds");
    names.add(name);
    const samples = family.kind === "histogram" ? histogramLines(family) : plainLines(family);
    if (samples.length === 0) continue;
    assert(new Set(samples.map(keyOf)).size === samples.length, "a label set comes once");
    lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${kind}`, ...samples);
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function plainLines({ name, samples }: Extract<Family, { kind: "counter" | "gauge" }>): string[] {
  return samples.map(({ labels = {}, value }) => line(name, labels, value));
}

function histogramLines({ name, series }: Extract<Family, { kind: "histogram" }>): string[] {
  return series.flatMap(({ labels = {}, durations: { counts, sumMs } }) => {
    let upTo = 0;
    const buckets = counts.map((count, at) => {
      upTo += count;
      const boundMs = durationBoundsMs[at];
      const le = boundMs === undefined ? "+Inf" : String(boundMs / 1000);
      return line(`${name}_bucket`, { ...labels, le }, upTo);
    });
    const sum = line(`${name}_sum`, labels, sumMs / 1000);
    return [...buckets, sum, line(`${name}_count`, labels, upTo)];
  });
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => {
    assert(labelName.test(label), "a label has a plain name");
    return `${label}="${escapeLabel(text)}"`;
  });
  const set = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${set} ${numberText(value)}`;
}

/** What tells a sample from the others: all but its value. */
function keyOf(text: string): string {
  return text.slice(0, text.lastIndexOf(" "));
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
