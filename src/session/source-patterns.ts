/**
 * What in the source of a function, or of a DO block, says that it changes the session: as PostgreSQL's regular expressions,
 * for sources that are in its catalogs, and as ours, for those that pass by. Without regard to case.
 */
const commands = "set|reset|listen|unlisten|prepare|deallocate|discard|load";
/** Where a statement begins. */
const begins = "(?:^|;|>>|\\mbegin|\\mthen|\\melse|\\mloop)\\s*";
const settingName = "[a-z_][a-z0-9_$]*(?:\\.[a-z_][a-z0-9_$]*)+";
const sets = "\\mset\\s+(?:session\\s+|local\\s+)?";

/** Some command says so. */
export const likely = `set_config|pg_settings|advisory|${begins}(?:${commands})\\M`;

/** It builds statements, or has a word of those: what UPDATE ... SET has is taken out before (see updates). */
export const perhaps = `\\m(?:execute|spi_\\w*|plpy|temp|temporary|create|${commands})\\M|pg_temp`;

/** SET of UPDATE, INSERT ... ON CONFLICT and MERGE; not that behind FOR UPDATE LOOP. */
export const updates =
  '\\mupdate\\s+(?:only\\s+)?(?!loop\\M)(?:"[^"]*"|[a-z0-9_$.%]+)' +
  '(?:\\s+(?:as\\s+)?(?!set\\M)(?:"[^"]*"|[a-z0-9_$]+))?\\s+set\\M|\\mupdate\\s+set\\M';

/** It asks for what its session has drawn from sequences. */
export const drawn = "\\m(?:currval|lastval)\\M";

/** Finds the names of settings with a prefix, as its first group. */
export const customName = `(?:set_config\\s*\\(\\s*'|${sets})(${settingName})`;

/** Built-in functions that leave in the server process what nothing shows and nothing but its end takes away. */
export const backendFunctions =
  "setseed|pg_backup_start|pg_start_backup|pg_replication_origin_session_setup" +
  "|pg_(?:create|copy)_(?:physical|logical)_replication_slot";

/** Built-in functions whose work no rollback undoes, or to which a pid means somebody else on another server. */
export const outsideFunctions =
  "dblink\\w*|aurora_inject_\\w+|lo_(?:import|export)|pg_(?:terminate|cancel)_backend|pg_file_\\w+|pg_logical_emit_message" +
  "|pg_(?:promote|reload_conf|rotate_logfile|switch_wal|create_restore_point|wal_replay_\\w+)" +
  "|pg_\\w*replication_(?:slot|origin)\\w*|pg_logical_slot_\\w+|pg_backup_\\w+|pg_log_\\w+|pg_stat_reset\\w*";

const copies = "\\mcopy\\M";
const toOutside = "\\m(?:program\\M|to\\s*(?:e?'|[%$|]))";

/** Without one of these, in comments too, it does not act beyond its transaction. */
export const outsideWords = `\\m(?:${outsideFunctions})\\M|${copies}`;

/** It acts beyond its transaction. */
export const outside = `\\m(?:${outsideFunctions})\\M|${copies}[^;]*${toOutside}`;

/** It tells others something at its commit. */
export const notifyWords = "\\m(?:pg_)?notify\\M";

/** It sets what is not named in it, so that nobody can ask for that; or it calls one of those functions. */
export const unseen = [
  `\\m(?:${backendFunctions})\\M`,
  "set_config\\s*\\((?!\\s*'[^']*'\\s*(?:::\\s*[a-z_.]+\\s*)?,)",
  // 'set ' || ..., format('set %I ...'), 'set app.' || ..., 'set app.x' || ..., set "app.x"
  "['$]\\s*set\\s+(?:session\\s+|local\\s+)?[%'\"]",
  `${sets}[a-z_][a-z0-9_$]*\\.(?![a-z_])`,
  `${sets}[a-z_][a-z0-9_$.]*'`,
  `${begins}set\\s+(?:session\\s+|local\\s+)?(?:[a-z_][a-z0-9_$]*\\s*\\.\\s*)*"`,
].join("|");

/** It runs a statement that does not stand in it. */
export const runsUnseen =
  "\\mexecute\\M(?!\\s*(?:e?'|\\$|format\\s*\\(\\s*'(?!\\s*%)|on\\M|procedure\\M|function\\M))";

/** Comments; in two steps, since one expression of PostgreSQL is greedy or not as a whole. */
export const blockComment = "/\\*.*?\\*/";
export const lineComment = "--[^\\n]*";

const ours = {
  outsideFunctions: expression(`\\m(?:${outsideFunctions})\\M`, "is"),
  copies: expression(copies, "is"),
  toOutside: expression(toOutside, "is"),
  notifyWords: expression(notifyWords, "i"),
  customName: expression(customName),
  unseen: expression(`${unseen}|${runsUnseen}`),
  lineComment: expression(lineComment),
};

export interface SourceFacts {
  /** Settings with a prefix that it names, in lower case. */
  readonly customNames: readonly string[];
  /** It may leave in the session what cannot be asked for. */
  readonly leavesUnseen: boolean;
}

/** Of the body of a DO block, or of a text that cannot be parsed. */
export function factsOfSource(source: string): SourceFacts {
  const code = withoutBlockComments(source).replace(ours.lineComment, " ");
  // What stands in a comment by mistake ('--' in a string) counts, too.
  const names = [...source.matchAll(ours.customName), ...code.matchAll(ours.customName)];
  return {
    customNames: [...new Set(names.map(([, name = ""]) => name.toLowerCase()))],
    leavesUnseen: source.search(ours.unseen) >= 0 || code.search(ours.unseen) >= 0,
  };
}

/** As `blockComment` finds them. An expression would try each opening anew, in a time that grows with the square of the text. */
function withoutBlockComments(source: string): string {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const open = source.indexOf("/*", at);
    const close = open < 0 ? -1 : source.indexOf("*/", open + 2);
    if (close < 0) return parts.length === 0 ? source : [...parts, source.slice(at)].join(" ");
    parts.push(source.slice(at, open));
    at = close + 2;
  }
}

/** As `outside`, of a client's text; `definesCode`: which makes a function, whose source it is then. */
export function actsOutside(sql: string, definesCode: boolean): boolean {
  if (ours.outsideFunctions.test(sql)) return true;
  // In pieces: one expression for both takes a time that grows with the square of the text.
  const isOutside = (part: string): boolean => ours.copies.test(part) && ours.toOutside.test(part);
  return definesCode && sql.split(";").some(isOutside);
}

/** As `notifyWords`, of the body of a DO block, or of a text that cannot be parsed. */
export function hasNotify(source: string): boolean {
  return ours.notifyWords.test(source);
}

/** One of PostgreSQL's as one of ours. */
function expression(pattern: string, flags = "gis"): RegExp {
  return new RegExp(pattern.replaceAll(/\\[mM]/g, "\\b"), flags);
}
