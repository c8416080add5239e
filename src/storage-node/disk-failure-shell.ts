import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Disk, systemCodeOf } from "../io/index.ts";
import { condemnsDisk } from "./read-failures.ts";
import { folderOf } from "./state-file-shell.ts";

/** Raises BorealisError 55000 for a folder whose disk has failed once. */
export async function refuseFailed(disk: Disk, dir: string): Promise<void> {
  const failed = await disk.readWhole(folderOf.failed(dir));
  if (failed === undefined) return;
  throw new BorealisError(sqlState.notInPrerequisiteState, `${dir} is marked as failed`, {
    hint: "its disk lost data or refused a sync: replace the node, under a new id",
    detail: failed.toString("utf8"),
  });
}

/** The end of a node's storage: after a failed write or sync nothing on this disk is believed (section 15, M32). */
export class DiskFailure {
  hasFailed = false;
  private readonly disk: Disk;
  private readonly dir: string;
  private handler: ((error: unknown) => void) | undefined;
  private failure: unknown;

  constructor(disk: Disk, dir: string) {
    this.disk = disk;
    this.dir = dir;
  }

  /** The files are being closed: what fails from now on says nothing of the disk. */
  hush(): void {
    this.hasFailed = true;
  }

  /** The first one counts. If it condemns the disk, the marker is written before anybody is told. */
  note(error: unknown): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    const isOfDisk = condemnsDisk(error, systemCodeOf(error));
    const marked = isOfDisk ? this.writeMarker(messageOf(error)) : Promise.resolve();
    void marked.then(() => {
      this.failure = error;
      this.handler?.(error);
    });
  }

  /** Called once; at once if it has happened. */
  onFailure(handler: (error: unknown) => void): void {
    this.handler = handler;
    if (this.failure !== undefined) handler(this.failure);
  }

  private async writeMarker(reason: string): Promise<void> {
    try {
      const marker = await this.disk.open(folderOf.failed(this.dir), "createSynced");
      await marker.write(Buffer.from(`${reason}\n`), 0);
      await marker.close();
    } catch {
      // The disk that failed may be the marker's, too; the process ends either way, and says why in its log.
    }
  }
}
