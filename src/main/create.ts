import { existsSync, mkdirSync, rmSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { formatLsn } from "../base/lsn.ts";
import {
  type ClusterState,
  clusterStateFormat,
  type InstanceState,
  type Layout,
  protectionGroupNames,
  zoneOf,
} from "../cluster/index.ts";
import {
  chooseOsUser,
  createGenesis,
  type Engine,
  findEngine,
  type Genesis,
  type OsUser,
  placeInstances,
} from "../engine/index.ts";
import { realEntropy } from "../io/index.ts";
import { formatStorageNode } from "../storage-node/index.ts";
import type { Settings } from "./config.ts";
import { diskError } from "./data-dir.ts";
import { isErrno } from "./errno.ts";
import type { UpOptions } from "./options.ts";
import { replaceFile, syncFolder } from "./replace-file.ts";
import { createVolumeKeys } from "./volume-keys.ts";
import { writeSecret } from "./secret-file.ts";

export interface OpenedEngine {
  readonly engine: Engine;
  readonly osUser: OsUser | undefined;
  /** Real path of `instances/`, where the engine's user can reach it. */
  readonly instancesDir: string;
}

interface Opening {
  readonly options: UpOptions;
  readonly layout: Layout;
  readonly settings: Settings;
  readonly existing?: ClusterState;
}

/** What decides which PostgreSQL runs. */
interface EngineWanted extends Pick<Opening, "layout" | "settings"> {
  readonly options: Pick<UpOptions, "postgresBin">;
  readonly existing?: Pick<ClusterState, "engineVersion">;
}

/**
 * Finds the PostgreSQL to run and who runs it. Raises 55000 when the volume was made by another major version, whose
 * data this one cannot read.
 */
export async function openEngine({
  options,
  layout,
  settings,
  existing,
}: EngineWanted): Promise<OpenedEngine> {
  const osUser = await chooseOsUser(settings["engine.osUser"] || undefined);
  const engine = await findEngine({ postgresBin: options.postgresBin, runnableBy: osUser });
  const major = existing?.engineVersion.split(".")[0];
  if (major !== undefined && Number(major) !== engine.major) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `this cluster was created with PostgreSQL ${existing?.engineVersion ?? ""}; ${engine.binDir} is ${engine.version}`,
      { hint: `give --postgres-bin a PostgreSQL ${major}` },
    );
  }
  const instancesDir = await placeInstances({ dataDir: layout.dataDir, osUser });
  return { engine, osUser, instancesDir };
}

/**
 * The birth of a volume (D1): initdb once, its cold copy kept as the genesis image, six nodes formatted from its LSN.
 * The state file is written last: a creation that was cut short leaves none, and is simply done again.
 */
export async function createCluster(
  birth: Omit<Opening, "existing"> & { engine: OpenedEngine },
): Promise<ClusterState> {
  const { options, layout, engine } = birth;
  if (
    options.user === "rdsadmin" ||
    options.user.startsWith("pg_") ||
    options.user.startsWith("rds_")
  ) {
    throw new BorealisError(sqlState.invalidParameter, `the name "${options.user}" is reserved`, {
      hint: "choose another --user",
    });
  }
  try {
    // Whatever a creation that was cut short left: no commit was ever acknowledged from it.
    for (const dir of [layout.storageDir, layout.genesisDir])
      rmSync(dir, { recursive: true, force: true });
    for (const dir of [layout.controlDir, layout.storageDir, layout.keysDir, layout.logDir]) {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
    }
    return await build(birth);
  } catch (error) {
    if (error instanceof BorealisError) throw error;
    if (isErrno(error, "ENOSPC") || isErrno(error, "EACCES") || isErrno(error, "EROFS")) {
      throw diskError(
        `cannot create the cluster in ${layout.dataDir} with PostgreSQL ${engine.engine.version}`,
        error,
      );
    }
    throw error;
  }
}

async function build({
  options,
  layout,
  settings,
  engine,
}: Omit<Opening, "existing"> & { engine: OpenedEngine }): Promise<ClusterState> {
  const genesis = await createGenesis({
    engine: engine.engine,
    osUser: engine.osUser,
    genesisDir: layout.genesisDir,
    scratchDir: engine.instancesDir,
  });
  return bearVolume({
    layout,
    genesis,
    engineVersion: engine.engine.version,
    masterUser: options.user,
    isSuperuser: options.superuser,
    isBootstrapped: false,
    password: options.password ?? newPassword(),
    encryption: settings["storage.encryption"],
    readers: options.readers,
  });
}

export function newPassword(): string {
  return realEntropy.bytes(18).toString("base64url");
}

export interface Birth {
  readonly layout: Layout;
  /** The image in its place: initdb's, or that of a restore. */
  readonly genesis: Genesis;
  readonly engineVersion: string;
  readonly masterUser: string;
  readonly isSuperuser: boolean;
  /** The master user is in the image, with a password. */
  readonly isBootstrapped: boolean;
  /** Kept for `borealis url`; undefined: nobody here knows it. */
  readonly password: string | undefined;
  readonly encryption: "on" | "off";
  readonly readers: number;
  readonly parameters?: ClusterState["parameters"];
}

/** A new volume around a genesis image: its own id, nodes and keys. The state file is written last: it makes the cluster. */
export async function bearVolume(birth: Birth): Promise<ClusterState> {
  const { layout, genesis, engineVersion, encryption, readers } = birth;
  const volume = volumeId(realEntropy.uuid());
  const nodes = protectionGroupNames().map((name) => ({ ...name, nodeId: realEntropy.uuid() }));
  for (const node of nodes) {
    await formatStorageNode(`${layout.storageDir}/${node.id}`, {
      volumeId: volume,
      nodeId: nodeId(node.nodeId),
      base: genesis.baseLsn,
    });
  }
  if (encryption === "on") await createVolumeKeys(layout, volume);
  else rmSync(layout.keyRingFile, { force: true });
  if (birth.password !== undefined) writeSecret(layout.passwordFile, birth.password);
  const key = `BRLS${realEntropy.bytes(8).toString("hex").toUpperCase()}`;
  writeSecret(layout.credentialsFile, `${key}:${realEntropy.bytes(24).toString("base64url")}`);
  const state: ClusterState = {
    format: clusterStateFormat,
    clusterId: "borealis",
    volumeId: volume,
    createdAt: new Date().toISOString(),
    engineVersion,
    systemIdentifier: String(genesis.systemIdentifier),
    genesisLsn: formatLsn(genesis.baseLsn),
    masterUser: birth.masterUser,
    isSuperuser: birth.isSuperuser,
    encryption,
    isBootstrapped: birth.isBootstrapped,
    writer: "instance-1",
    instances: newInstances(readers),
    nodes,
    ...(birth.parameters && { parameters: birth.parameters }),
  };
  if (!existsSync(layout.configFile)) writeSecret(layout.configFile, "{}");
  // Once the state is there nothing is made again: every name must be as durable as it.
  for (const folder of [layout.dataDir, layout.storageDir, layout.keysDir])
    if (existsSync(folder)) syncFolder(folder);
  replaceFile(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`, { isDurable: true });
  return state;
}

/** The writer and its readers, as a cluster is born with them. */
export function newInstances(readers: number): InstanceState[] {
  return Array.from({ length: readers + 1 }, (_, k) => ({
    id: `instance-${k + 1}`,
    ordinal: k + 1,
    az: zoneOf(k + 1),
    tier: 1,
  }));
}
