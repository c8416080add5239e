import { describe, expect, it } from "vitest";
import {
  auroraSettings,
  commandLineSettings,
  configurationFile,
  hbaFile,
  mayOverride,
  primaryConninfo,
  type SettingContext,
  settings,
  userConnectionsMax,
} from "./settings.ts";

const context = {
  instance: "instance-1",
  socketDir: "/tmp/run/pg-1",
  feedDir: "/tmp/run/pg-1/feed",
  extensions: ["ltree", "btree_gist", "hstore"],
  forcesTls: false,
};

/** The command line as a map, after a check of its shape. */
function commandLine(major: number, changes: Partial<SettingContext> = {}): Map<string, string> {
  const args = commandLineSettings(major, { ...context, ...changes });
  const found = new Map<string, string>();
  for (let at = 0; at < args.length; at += 2) {
    expect(args[at]).toBe("-c");
    const [name = "", ...value] = (args[at + 1] ?? "").split("=");
    expect(found.has(name), name).toBe(false);
    found.set(name, value.join("="));
  }
  return found;
}

describe("the table of settings", () => {
  it("shows what AWS's wrappers know Aurora by, among the extensions that are allowed", () => {
    expect(commandLine(18).get("rds.extensions")).toBe(
      "aurora_stat_utils, btree_gist, hstore, ltree",
    );
    expect(mayOverride("RDS.extensions")).toBe(false);
    const forced = [false, true].map((forcesTls) => commandLine(18, { forcesTls }));
    expect(forced.map((line) => line.get("rds.force_ssl"))).toEqual(["off", "on"]);
    for (const [name, value] of auroraSettings(context)) {
      expect(commandLine(15).get(name), name).toBe(value);
      expect(commandLine(15, { extensions: null }).has(name), name).toBe(false);
    }
  });

  it("gives a reason for each, and names each once a role", () => {
    const seen = new Set<string>();
    for (const setting of settings) {
      expect(setting.reason.length, setting.name).toBeGreaterThan(4);
      const roles = setting.role === "both" ? ["writer", "reader"] : [setting.role];
      for (const role of roles) {
        expect(seen.has(`${setting.name} ${role}`), setting.name).toBe(false);
        seen.add(`${setting.name} ${role}`);
      }
    }
  });

  it("is refused to users where Borealis holds it, and theirs where it is only a default", () => {
    const defaults = settings.filter(({ strength }) => strength === "default");
    // What is only a default, and still nobody's.
    const exceptions = ["wal_sender_timeout"];
    for (const { name, strength } of settings)
      if (strength === "holds") expect(mayOverride(name), name).toBe(false);
    const refused = defaults.filter(({ name }) => !mayOverride(name)).map(({ name }) => name);
    expect(refused).toEqual(exceptions);
  });

  it("has the same command line for both roles, because a promotion restarts nothing", () => {
    for (const setting of settings)
      if (setting.strength === "holds") expect(setting.role).toBe("both");
  });

  it("keeps on the command line what durability rests on", () => {
    expect(Object.fromEntries(commandLine(18))).toMatchObject({
      fsync: "off",
      full_page_writes: "on",
      synchronous_commit: "on",
      synchronous_standby_names: "FIRST 1 (borealis_log)",
      wal_level: "replica",
      restart_after_crash: "off",
      max_slot_wal_keep_size: "-1",
      idle_replication_slot_timeout: "0",
      listen_addresses: "",
      unix_socket_directories: "/tmp/run/pg-1",
      unix_socket_permissions: "0700",
      max_connections: "300",
      wal_retrieve_retry_interval: "100ms",
    });
    expect(userConnectionsMax).toBeLessThan(300);
  });

  it("leaves out what a major does not know yet", () => {
    for (const [name, from] of [["idle_replication_slot_timeout", 18]] as const) {
      for (const major of [15, 16, 17, 18])
        expect(commandLine(major).has(name)).toBe(major >= from);
    }
    const file = (major: number): string => configurationFile({ role: "writer", major, context });
    expect(file(17)).not.toContain("io_method");
    expect(file(18)).toContain("io_method = 'sync'");
    expect(file(16)).not.toContain("summarize_wal");
  });
});

describe("the configuration file", () => {
  it("differs by role where restartpoints matter", () => {
    expect(configurationFile({ role: "writer", major: 18, context })).toContain(
      "checkpoint_timeout = '15min'",
    );
    expect(configurationFile({ role: "reader", major: 18, context })).toContain(
      "checkpoint_timeout = '5min'",
    );
  });

  it("ends with the user's settings, quoted, without those that must hold", () => {
    const overrides = new Map([
      ["work_mem", "8MB"],
      ["FSYNC", "on"],
      ["app.motto", "it's \\ fine\nfsync = on"],
      ["bad name = 1 #", "x"],
    ]);
    const file = configurationFile({ role: "writer", major: 18, context, overrides });
    expect(file.endsWith("\nwork_mem = '8MB'\napp.motto = 'it''s \\\\ fine fsync = on'\n")).toBe(
      true,
    );
    expect(mayOverride("fsync")).toBe(false);
    expect(mayOverride("shared_buffers")).toBe(true);
  });

  it("is all that decides who connects: local, by trust", () => {
    const rules = hbaFile()
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(rules).toEqual(["local all all trust", "local replication all trust"]);
  });
});

describe("paths in settings", () => {
  it("are quoted where PostgreSQL's lists and libpq's strings ask for it", () => {
    expect(commandLine(18, { socketDir: '/tmp/a, "b"' }).get("unix_socket_directories")).toBe(
      '"/tmp/a, ""b"""',
    );
    expect(primaryConninfo("/tmp/it's\\here", "r1")).toBe(
      "host='/tmp/it\\'s\\\\here' port='5432' user='rdsadmin' application_name='r1' sslmode='disable' gssencmode='disable'",
    );
  });
});
