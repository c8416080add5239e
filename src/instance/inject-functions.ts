import { quoteLiteral } from "./quoting.ts";
import { requestPrefix } from "./requests.ts";

/**
 * Aurora's functions that inject faults, with the signatures of the Amazon Aurora User Guide. Each leaves a request for the
 * instance's agent in the data directory, which a hot standby can do, too, and waits for its answer in the file that the agent
 * keeps (sight.ts). They have their owner's rights, and only who may inject faults may call them.
 */
export interface InjectFunction {
  readonly name: string;
  /** As CREATE FUNCTION takes them. */
  readonly parameters: string;
  readonly body: string;
  readonly description: string;
}

/** The name by which GRANT and COMMENT know it. */
export function signatureOf({ name, parameters }: InjectFunction): string {
  const types = parameters.split(", ").map((one) => one.split(" ").slice(1).join(" "));
  return `${name}(${types.join(", ")})`;
}

const waitMs = 50;
/** The agent answers within ten seconds, or never. */
const patience = 15_000 / waitMs;

function refusal(when: string, message: string): string {
  return `IF ${when} THEN RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = ${quoteLiteral(message)}; END IF;`;
}

const percentage = refusal(
  "percentage IS NULL OR NOT percentage BETWEEN 0 AND 100",
  "percentage must be between 0 and 100",
);
const interval = refusal(
  "time_interval IS NULL OR time_interval < 1",
  "time_interval must be 1 second or more",
);
const disk = `${percentage} ${interval} ${refusal("index IS NULL OR index < 0", "index must be 0 or more")} ${refusal("is_disk IS NULL", "is_disk must be true or false")}`;
const diskFields =
  "'percent', percentage, 'seconds', time_interval, 'index', index, 'isDisk', is_disk";

/** How all of them ask. Their owner's alone. */
export const requestFunction: InjectFunction = {
  name: "borealis_request",
  parameters: "fault json",
  body: `DECLARE
    own constant text := gen_random_uuid()::text;
    owner constant text := json_extract_path_text(borealis_sight(), 'of');
    request text;
    answer json;
    hint text;
  BEGIN
    IF owner IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = 'no faults can be injected while sql.aurora is off';
    END IF;
    request := encode(convert_to(json_build_object('id', own, 'of', owner, 'user', session_user,
      'atMs', (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'fault', fault)::text, 'UTF8'), 'hex');
    EXECUTE format('COPY (SELECT %L) TO %L', request, current_setting('data_directory') || '/${requestPrefix}' || own);
    FOR i IN 1..${patience} LOOP
      PERFORM pg_sleep(${waitMs / 1000});
      SELECT a.value INTO answer FROM json_array_elements(json_extract_path(borealis_sight(), 'answers')) a
        WHERE json_extract_path_text(a.value, 'id') = own;
      CONTINUE WHEN answer IS NULL;
      IF json_extract_path_text(answer, 'done') IS NOT NULL THEN
        RAISE NOTICE '%', json_extract_path_text(answer, 'done');
        RETURN;
      END IF;
      hint := json_extract_path_text(answer, 'error', 'hint');
      RAISE EXCEPTION USING ERRCODE = json_extract_path_text(answer, 'error', 'code'),
        MESSAGE = json_extract_path_text(answer, 'error', 'message'),
        HINT = coalesce(hint, 'The log of the instance''s agent and that of the control plane say more.');
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = 'the agent of this instance did not answer';
  END`,
  description: "",
};

export const injectFunctions: readonly InjectFunction[] = [
  {
    name: "aurora_inject_crash",
    parameters: "crash_type text",
    body: `BEGIN
      ${refusal(
        "crash_type IS NULL OR lower(crash_type) NOT IN ('instance', 'dispatcher', 'node')",
        "crash_type must be instance, dispatcher or node",
      )}
      PERFORM borealis_request(json_build_object('kind', 'crash', 'what', lower(crash_type)));
    END`,
    description: "Crashes this instance, the writer of log records, or both with their agent",
  },
  {
    name: "aurora_inject_replica_failure",
    parameters: "percentage double precision, time_interval integer, replica_name text",
    body: `BEGIN
      ${percentage} ${interval}
      PERFORM borealis_request(json_build_object('kind', 'replicaFailure', 'percent', percentage,
        'seconds', time_interval, 'replica', coalesce((
          SELECT json_extract_path_text(i.value, 'server_id')
          FROM json_array_elements(json_extract_path(borealis_sight(), 'instances')) i
          WHERE json_extract_path_text(i.value, 'address') = replica_name LIMIT 1), replica_name, '')));
    END`,
    description: "Keeps log back from one reader or from all, for so many seconds",
  },
  {
    name: "aurora_inject_disk_failure",
    parameters:
      "percentage double precision, index integer, is_disk boolean, time_interval integer",
    body: `BEGIN
      ${disk}
      PERFORM borealis_request(json_build_object('kind', 'diskFailure', ${diskFields}));
    END`,
    description:
      "Has a storage node, or all of a protection group, refuse requests, for so many seconds",
  },
  {
    name: "aurora_inject_disk_congestion",
    parameters:
      "percentage double precision, index integer, is_disk boolean, time_interval integer, " +
      "minimum double precision, maximum double precision",
    body: `BEGIN
      ${disk}
      ${refusal(
        "minimum IS NULL OR maximum IS NULL OR NOT minimum BETWEEN 0 AND 100 OR NOT maximum BETWEEN 0 AND 100 OR maximum <= minimum",
        "minimum and maximum must be between 0.0 and 100.0 milliseconds, and maximum above minimum",
      )}
      PERFORM borealis_request(json_build_object('kind', 'diskCongestion', ${diskFields},
        'minMs', minimum, 'maxMs', maximum));
    END`,
    description:
      "Has a storage node, or all of a protection group, delay requests, for so many seconds",
  },
];

/** Makes it, for its owner; `grantee`: who may call it besides. */
export function injectSql(one: InjectFunction, grantee: string | undefined): string {
  const { name, parameters, body, description } = one;
  const signature = `pg_catalog.${signatureOf(one)}`;
  const isAsked = one === requestFunction;
  const attributes = `LANGUAGE plpgsql ${isAsked ? "" : "SECURITY DEFINER "}SET search_path TO pg_catalog, pg_temp`;
  const statements = [
    `CREATE OR REPLACE FUNCTION pg_catalog.${name}(${parameters}) RETURNS void ${attributes} AS ${quoteLiteral(body)}`,
    `REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC`,
    ...(grantee === undefined || isAsked
      ? []
      : [`GRANT EXECUTE ON FUNCTION ${signature} TO ${grantee}`]),
    ...(isAsked ? [] : [`COMMENT ON FUNCTION ${signature} IS ${quoteLiteral(description)}`]),
  ];
  return statements.join("; ");
}
