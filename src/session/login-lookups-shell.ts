import { addressKey, FairQueue } from "../access/index.ts";
import type { Login } from "./admin-shell.ts";

/** Who asks what a login is to be checked against. */
export interface LookupWanted {
  readonly address: string;
  readonly user: string;
  readonly database: string;
  /** Its client went away. */
  readonly isGone: () => boolean;
}

interface Waiting extends LookupWanted {
  readonly resolve: (login: Login | undefined) => void;
}

/** More do not make PostgreSQL answer sooner: they wait on one connection. */
const atOnceMax = 4;

/** Looks up logins, of each address in its turn: a crowd waits behind itself, and nothing is asked for who has gone. */
export class LoginLookups {
  private readonly find: (user: string, database: string) => Promise<Login | undefined>;
  private readonly queue = new FairQueue<Waiting>();
  private atOnce = 0;

  /** `find` does not raise, as AdminSessions.findLogin does not. */
  constructor(find: (user: string, database: string) => Promise<Login | undefined>) {
    this.find = find;
  }

  /** Undefined: nobody can be asked at this moment, or nobody wants to know any more. */
  ask(wanted: LookupWanted): Promise<Login | undefined> {
    return new Promise((resolve) => {
      this.queue.push(addressKey(wanted.address), { ...wanted, resolve });
      this.goOn();
    });
  }

  private goOn(): void {
    while (this.atOnce < atOnceMax) {
      const next = this.queue.take();
      if (!next) return;
      if (next.isGone()) next.resolve(undefined);
      else {
        this.atOnce++;
        void this.look(next);
      }
    }
  }

  private async look({ user, database, resolve }: Waiting): Promise<void> {
    try {
      resolve(await this.find(user, database));
    } finally {
      this.atOnce--;
      this.goOn();
    }
  }
}
