/** Queries of a document, and whether they fit what a scrape has: names, labels, and what may be done with counters and gauges. */
import type { ReadFamily } from "./exposition.ts";

/** Every code span and indented line with a metric of ours that is a query, and no mere name. */
export function queriesIn(markdown: string): string[] {
  const spans = [...markdown.matchAll(/`([^`\n]*borealis_[^`\n]*)`/g)].map(
    (match) => match[1] ?? "",
  );
  const lines = [...markdown.matchAll(/^ {4}(.*borealis_.*)$/gm)].map((match) => match[1] ?? "");
  return [...spans, ...lines].filter((text) => /[({=<>]/.test(text) && !text.includes("scrape"));
}

const use =
  /\b(?:(rate|increase|irate|delta|deriv)\()?(borealis_\w+)(?:\{([^}]*)\})?(\[\d+[smhd]\])?/g;
const ofCounters = new Set(["rate", "increase", "irate"]);

/** What is wrong with a query, in words. `families`: all that a cluster has ever told. */
export function misusesIn(query: string, families: ReadonlyMap<string, ReadFamily>): string[] {
  const wrong = (why: string): string => `${why}: ${query}`;
  const faults: string[] = [];
  if (count(query, "(") !== count(query, ")")) faults.push(wrong("parentheses"));
  const labels = new Set<string>();
  for (const [, fn, name = "", matchers = "", range] of query.matchAll(use)) {
    const family = families.get(name) ?? families.get(name.replace(/_(?:bucket|sum|count)$/, ""));
    const samples = family?.samples.filter((sample) => sample.name === name) ?? [];
    if (!family || samples.length === 0) {
      faults.push(wrong(`there is no ${name}`));
      continue;
    }
    for (const { labels: of } of samples) for (const key of Object.keys(of)) labels.add(key);
    const isCounter = family.kind !== "gauge";
    if (isCounter !== (fn !== undefined && ofCounters.has(fn)))
      faults.push(wrong(`${fn} of a ${family.kind}`));
    if ((fn !== undefined) !== (range !== undefined)) faults.push(wrong("a range"));
    for (const [, label = "", value = ""] of matchers.matchAll(/(\w+)=~?"([^"]*)"/g)) {
      const isThere = samples.some(({ labels: of }) => of[label] === value);
      // Of an error nobody has had yet there is no sample.
      if (!isThere && label !== "sqlstate") faults.push(wrong(`nothing with ${label}="${value}"`));
    }
    if (matchers !== "" && !/^(?:\w+=~?"[^"]*"(?:,\s*|$))+$/.test(matchers))
      faults.push(wrong(`{${matchers}}`));
  }
  for (const [, list = ""] of query.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list.split(/,\s*/))
      if (!labels.has(label)) faults.push(wrong(`no label ${label}`));
  if (query.includes("histogram_quantile") && !/_bucket/.test(query))
    faults.push(wrong("no buckets"));
  return faults;
}

function count(text: string, letter: string): number {
  return text.split(letter).length - 1;
}
