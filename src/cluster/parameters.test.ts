import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import type { ParameterStates } from "../instance/index.ts";
import {
  inheritedParameters,
  parameterNames,
  parameterRows,
  parametersOf,
  requireAnybodys,
  resetsOf,
  withoutParametersOf,
  withParameters,
} from "./parameters.ts";
import type { ClusterState } from "./state.ts";

const instance = (ordinal: number): ClusterState["instances"][number] => ({
  id: `instance-${ordinal}`,
  ordinal,
  az: "az1",
  tier: 1,
});
const plain: ClusterState = {
  format: 1,
  clusterId: "borealis",
  volumeId: "v",
  createdAt: "2026-11-30T00:00:00Z",
  engineVersion: "18.4",
  systemIdentifier: "1",
  genesisLsn: "0/1000000",
  masterUser: "postgres",
  isSuperuser: true,
  encryption: "off",
  isBootstrapped: true,
  writer: "instance-1",
  instances: [instance(1), instance(2)],
  nodes: [],
};
const set = (state: ClusterState, name: string, value: string | null, id: string | null = null) =>
  withParameters(state, id, [{ name, value }]);

const changed = set(
  set(set(plain, "work_mem", "8MB"), "jit", "off"),
  "work_mem",
  "9MB",
  "instance-2",
);

function codeOf(work: () => unknown): string {
  try {
    work();
    return "done";
  } catch (error) {
    return error instanceof BorealisError ? error.code : String(error);
  }
}

describe("parameters", () => {
  it("are the instance's before the cluster's, and count their changes", () => {
    expect(parametersOf(plain, "instance-1")).toEqual({ version: 0, values: {} });
    expect(parametersOf(changed, "instance-1")).toEqual({
      version: 3,
      values: { work_mem: "8MB", jit: "off" },
    });
    expect(parametersOf(changed, "instance-2").values).toEqual({ work_mem: "9MB", jit: "off" });
    const reset = set(changed, "work_mem", null);
    expect(parametersOf(reset, "instance-1")).toEqual({ version: 4, values: { jit: "off" } });
    expect(parametersOf(reset, "instance-2").values).toEqual({ work_mem: "9MB", jit: "off" });
    expect(parameterNames(reset)).toEqual(["jit", "work_mem"]);
  });

  it("are bounded, and for instances that there are", () => {
    expect(codeOf(() => set(plain, "a", "1", "instance-9"))).toBe("22023");
    expect(codeOf(() => set(plain, "a", "x".repeat(10_001)))).toBe("54000");
    const many = Array.from({ length: 501 }, (_, k) => ({ name: `a.b${k}`, value: "1" }));
    expect(codeOf(() => withParameters(plain, null, many))).toBe("54000");
  });

  it("are reset where they are set", () => {
    expect(resetsOf(changed, null, "WORK_MEM")).toEqual([{ name: "work_mem", value: null }]);
    expect(resetsOf(changed, null, null).map(({ name }) => name)).toEqual(["jit", "work_mem"]);
    expect(codeOf(() => resetsOf(changed, "instance-2", "jit"))).toBe("42704");
    expect(codeOf(() => resetsOf(changed, "instance-9", "jit"))).toBe("22023");
  });

  it("leave with their instance, and go along to a clone without those of instances", () => {
    expect(parametersOf(withoutParametersOf(changed, "instance-2"), "instance-2").values).toEqual({
      work_mem: "8MB",
      jit: "off",
    });
    expect(withoutParametersOf(plain, "instance-2")).toBe(plain);
    expect(inheritedParameters(changed).parameters).toMatchObject({
      cluster: { jit: "off", work_mem: "8MB" },
      instances: {},
    });
    expect(inheritedParameters(plain)).toEqual({});
  });

  it("that are Borealis's are nobody's", () => {
    const names = [
      "Fsync",
      "borealis.replay",
      "archive_timeout",
      "db_user_namespace",
      "lc_messages",
      "max_active_replication_origins",
      "track_activities",
      "unix_socket_group",
    ];
    for (const name of names)
      expect(
        codeOf(() => requireAnybodys(name, plain)),
        name,
      ).toBe("55P02");
    for (const name of ["work_mem", "shared_preload_libraries", "search_path"])
      expect(
        codeOf(() => requireAnybodys(name, plain)),
        name,
      ).toBe("done");
  });

  it("have no value that would keep Borealis out", () => {
    for (const value of ["1", "999ms", "0.5s", "10us"])
      expect(
        codeOf(() => set(plain, "transaction_timeout", value)),
        value,
      ).toBe("55P02");
    for (const value of ["0", "1000", "1s", "2 min", "1d"])
      expect(
        codeOf(() => set(plain, "transaction_timeout", value)),
        value,
      ).toBe("done");
  });

  it("that reach the machine are not for a master user who is no superuser", () => {
    const poor = { isSuperuser: false };
    const names = [
      "shared_preload_libraries",
      "dynamic_library_path",
      "extension_control_path",
      "jit_provider",
      "ssl_cert_file",
      "ssl_passphrase_command",
      "krb_server_keyfile",
      "log_directory",
      "plperl.on_init",
      "pltcl.start_proc",
      "basic_archive.archive_directory",
      "zero_damaged_pages",
      "FSYNC",
    ];
    for (const name of names)
      expect(
        codeOf(() => requireAnybodys(name, poor)),
        name,
      ).toBe("55P02");
    const theirs = [
      "work_mem",
      "search_path",
      "temp_tablespaces",
      "log_statement",
      "jit",
      "timezone",
    ];
    for (const name of theirs)
      expect(
        codeOf(() => requireAnybodys(name, poor)),
        name,
      ).toBe("done");
  });

  it("are pending where PostgreSQL says so, and unknown where nobody answers", () => {
    const row = (name: string, value: string, isPending: boolean): ParameterStates[number] => ({
      name,
      value,
      context: name === "jit" ? "user" : "postmaster",
      isPending,
    });
    const states = (...ids: string[]): Map<string, ParameterStates> =>
      new Map(
        ids.map((id) => [
          id,
          [
            row("jit", "off", false),
            id === "instance-2" ? row("work_mem", "9MB", true) : row("work_mem", "8MB", false),
          ],
        ]),
      );
    expect(parameterRows(changed, states("instance-1", "instance-2"))).toEqual([
      {
        name: "jit",
        value: "off",
        scope: "cluster",
        applyType: "dynamic",
        state: "in-sync",
        pending: [],
      },
      {
        name: "work_mem",
        value: "8MB",
        scope: "cluster",
        applyType: "static",
        state: "in-sync",
        pending: [],
      },
      {
        name: "work_mem",
        value: "9MB",
        scope: "instance-2",
        applyType: "static",
        state: "pending-reboot",
        pending: ["instance-2"],
      },
    ]);
    expect(parameterRows(changed, states("instance-1")).map(({ state }) => state)).toEqual([
      "unknown",
      "in-sync",
      "unknown",
    ]);
    expect(parameterRows(changed, new Map())[0]).toMatchObject({
      applyType: null,
      state: "unknown",
    });
    // An instance that has not taken the newest value yet.
    const late = new Map([
      ["instance-1", [row("jit", "on", false), row("work_mem", "8MB", false)]],
      ["instance-2", [row("jit", "off", false), row("work_mem", "9MB", false)]],
    ]);
    expect(parameterRows(changed, late).map(({ state }) => state)).toEqual([
      "unknown",
      "in-sync",
      "in-sync",
    ]);
  });
});
