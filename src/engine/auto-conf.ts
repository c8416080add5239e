/** postgresql.auto.conf as PostgreSQL's ALTER SYSTEM writes it: a setting in each line, its value in quotes. */

const head =
  "# Written by Borealis at each start, and by ALTER SYSTEM; Borealis keeps what it says for the whole cluster.";
const line =
  /^([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*(?:\.[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)*)\s*=\s*'((?:[^'\\]|''|\\[\s\S])*)'$/;

/** The settings of the file, by name in lower case; of two the later one counts. Lines of another make are left out. */
export function parseAutoConf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const one of text.split("\n")) {
    const [, name, quoted] = line.exec(one.trimEnd()) ?? [];
    if (name === undefined || quoted === undefined) continue;
    found.set(
      // As PostgreSQL compares names.
      name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
      quoted.replace(/''|\\([\s\S])/g, (_, escaped: string | undefined) => escaped ?? "'"),
    );
  }
  return found;
}

/** The file with these settings. A value has no line breaks: PostgreSQL refuses them, too. */
export function autoConfFile(settings: ReadonlyMap<string, string>): string {
  const lines = [...settings].map(([name, value]) => {
    const quoted = value.replaceAll("\\", "\\\\").replaceAll("'", "''");
    return `${name} = '${quoted.replaceAll(/[\r\n]/g, " ")}'`;
  });
  return `${[head, ...lines].join("\n")}\n`;
}
