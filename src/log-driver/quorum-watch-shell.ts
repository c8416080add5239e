import type { Lsn } from "../base/lsn.ts";
import type { Logger } from "../io/index.ts";
import type { SharedProgress } from "./progress.ts";
import type { ReignListener } from "./reign-ports.ts";

/** Tells when an open epoch loses its write quorum, and when it is back. */
export class QuorumWatch {
  private readonly progress: SharedProgress;
  private readonly logger: Logger;
  private readonly listener: ReignListener;
  private hadQuorum = true;

  constructor(progress: SharedProgress, logger: Logger, listener: ReignListener) {
    this.progress = progress;
    this.logger = logger;
    this.listener = listener;
  }

  note(hasQuorum: boolean, vdl: Lsn): void {
    if (hasQuorum === this.hadQuorum) return;
    this.hadQuorum = hasQuorum;
    this.progress.setFlag("quorum", hasQuorum);
    const event = hasQuorum ? "quorum.back" : "quorum.lost";
    this.logger.warn({ event, vdl }, "write quorum changed");
    this.listener.emit({ kind: hasQuorum ? "quorumBack" : "quorumLost" });
  }
}
