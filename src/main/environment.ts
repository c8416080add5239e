/**
 * What this process was started with. Its environment may hold secrets, which are needed where they are asked for and nowhere
 * else: what it starts gets none of them, and a diagnostic report of Node shows what process.env has.
 */
import { writeFileSync } from "node:fs";

type Variables = Readonly<Record<string, string>>;

/** What our processes need to run at all; their configuration comes through a pipe. */
const plain =
  /^(?:PATH|HOME|USER|LOGNAME|TMPDIR|TMP|TEMP|LANG|LC_[A-Z]+|TZ|(?:DY)?LD_LIBRARY_PATH|NODE_[A-Z0-9_]+|UV_[A-Z_]+|OPENSSL_CONF|SSL_CERT_(?:FILE|DIR))$/;
/** Of the rest, what the command line and the supervisor read. */
const ours = /^(?:BOREALIS|AWS)_/;

let hidden: Variables = {};

/** All of it, what was hidden too. */
export function environment(): Variables {
  return { ...present(process.env), ...hidden };
}

/** Names of what may hold a secret of somebody else's, as PGPASSWORD and DATABASE_URL do. */
const suspect = /pass|secret|token|key|credential|auth|url|dsn|conn/i;

/** At the start of a command: from here on, secrets are in no process.env. */
export function hideSecrets(): void {
  hidden = { ...only(environment(), suspect), ...ownEnvironment() };
  for (const name of Object.keys(hidden)) delete process.env[name];
  // Everybody may read a command line.
  if (process.argv.some((argument) => /^--password(?:=|$)/.test(argument)))
    process.title = "borealis";
}

/** What another process of the command line's is told by a pipe, to go on with. */
export function ownEnvironment(): Variables {
  return only(environment(), ours);
}

/** In such a process. */
export function takeEnvironment(variables: Variables): void {
  hidden = variables;
}

/** For a process that is started. */
export function childEnvironment(): Variables {
  return only(environment(), plain);
}

/**
 * A core dump of a process that knows keys would have them. Linux leaves memory out of dumps of this process and of all that it
 * starts; elsewhere, and where that cannot be, the system's own limit counts.
 */
export function keepOutOfCoreDumps(): void {
  try {
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch {
    // No Linux, or a /proc that is read-only.
  }
}

function present(variables: NodeJS.ProcessEnv): Variables {
  const entries = Object.entries(variables);
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function only(variables: Variables, names: RegExp): Variables {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => names.test(name)));
}
